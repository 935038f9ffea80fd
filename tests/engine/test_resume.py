"""The checkpoints of a killed run, and which one is gone on from."""

import torch

from condseg_mmseg.engine.best_checkpoint import best_checkpoint, is_whole
from condseg_mmseg.engine.resume import numbered, outcome, prepare_resume


def _checkpoint(path, epoch, best=None, score=0.5):
    info = dict(keep_ckpt_ids=[epoch])
    if best:
        info |= dict(best_score=score, best_ckpt=f'/elsewhere/{best}')
    hub = dict(runtime_info=info, log_scalars={})
    torch.save(dict(meta=dict(epoch=epoch, iter=4 * epoch), message_hub=hub), path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _info(path):
    return torch.load(path, weights_only=True)['message_hub']['runtime_info']


def test_nothing_to_resume(tmp_path):
    assert prepare_resume(tmp_path / 'absent') == (None, [])
    (tmp_path / 'last_checkpoint').write_text('')  # killed while mmengine wrote it
    assert prepare_resume(tmp_path) == (None, [])
    assert not (tmp_path / 'last_checkpoint').exists()


def test_the_newest_is_found_by_number_not_by_name(tmp_path):
    others = ('best_score_epoch_11.pth', 'epoch_10-00000000.pth', '.epoch_9.tmp_12.pth')
    for name in ('epoch_9.pth', 'epoch_10.pth', *others):
        _checkpoint(tmp_path / name, 1)
    assert [path.name for path in numbered(tmp_path)] == ['epoch_10.pth', 'epoch_9.pth']
    (tmp_path / 'last_checkpoint').write_text('')
    chosen, told = prepare_resume(tmp_path)
    assert (chosen.name, told) == ('epoch_10.pth', [])
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_10.pth')


def test_a_truncated_newest_is_moved_aside(tmp_path):
    for epoch in (1, 2):
        _checkpoint(tmp_path / f'epoch_{epoch}.pth', epoch, 'best_a_epoch_1.pth')
    _checkpoint(tmp_path / 'best_a_epoch_1.pth', 1)
    (tmp_path / 'epoch_2.pth.truncated').touch()
    _truncate(tmp_path / 'epoch_2.pth')
    chosen, told = prepare_resume(tmp_path)
    assert chosen.name == 'epoch_1.pth'
    assert len(told) == 1
    assert 'epoch_2.pth is truncated' in told[0]
    assert 'renamed to epoch_2.pth.truncated2' in told[0]
    assert not (tmp_path / 'epoch_2.pth').exists()
    assert _info(chosen)['best_score'] == 0.5  # its best checkpoint is there
    _truncate(chosen)
    assert prepare_resume(tmp_path)[0] is None  # from the beginning


def test_after_a_lost_best_the_epoch_is_done_again(tmp_path):
    """mmengine removes the old best one, then writes the new one in place."""
    for epoch in (3, 4):
        _checkpoint(tmp_path / f'epoch_{epoch}.pth', epoch, 'best_a_epoch_2.pth')
    _checkpoint(tmp_path / 'best_a_epoch_4.pth', 4)
    _truncate(tmp_path / 'best_a_epoch_4.pth')
    chosen, told = prepare_resume(tmp_path)
    assert chosen.name == 'epoch_3.pth'
    assert 'epoch_4.pth is made and validated again' in told[-1]
    # or else nothing would be saved until a score beats that of a file which is gone
    assert _info(chosen) == dict(keep_ckpt_ids=[4 - 1])
    assert is_whole(chosen)


def test_a_lost_best_without_an_earlier_checkpoint_is_forgotten(tmp_path):
    _checkpoint(tmp_path / 'epoch_4.pth', 4, 'best_a_epoch_2.pth')
    assert prepare_resume(tmp_path) == (tmp_path / 'epoch_4.pth', [])
    assert 'best_score' not in _info(tmp_path / 'epoch_4.pth')


def test_the_outcome_is_that_of_the_newest_whole_checkpoint(tmp_path):
    _checkpoint(tmp_path / 'epoch_2.pth', 2, 'best_a_epoch_1.pth')
    _checkpoint(tmp_path / 'best_a_epoch_1.pth', 1)
    assert outcome(tmp_path) == dict(
        epochs=2, iterations=8, last_file='epoch_2.pth', best_file='best_a_epoch_1.pth',
        best_score=0.5,
    )  # fmt: skip
    assert outcome(tmp_path / 'absent')['last_file'] is None


def test_a_whole_best_is_never_done_again(tmp_path):
    """Killed after the best one was written, before the epoch's own file was told."""
    for epoch in (11, 12):
        _checkpoint(tmp_path / f'epoch_{epoch}.pth', epoch, 'best_a_epoch_7.pth', 80.0)
    best = tmp_path / 'best_a_epoch_12.pth'
    _checkpoint(best, 12, best.name, 90.0)
    chosen, told = prepare_resume(tmp_path)
    assert chosen.name == 'epoch_12.pth'
    assert 'is kept' in told[-1]
    assert _info(chosen)['best_score'] == 90.0
    assert _info(chosen)['best_ckpt'].endswith(best.name)
    assert prepare_resume(tmp_path) == (chosen, [])


def test_the_first_best_is_made_known(tmp_path):
    _checkpoint(tmp_path / 'epoch_1.pth', 1)
    _checkpoint(tmp_path / 'best_a_epoch_1.pth', 1, 'best_a_epoch_1.pth', 80.0)
    chosen, _ = prepare_resume(tmp_path)
    assert _info(chosen)['best_score'] == 80.0
    assert outcome(tmp_path)['best_score'] == 80.0


def test_of_two_best_ones_the_better_is_taken(tmp_path):
    for epoch, score in ((1, 80.0), (2, 60.0)):
        path = tmp_path / f'best_image_mIoU_epoch_{epoch}.pth'
        _checkpoint(path, epoch, path.name, score)
    assert best_checkpoint(tmp_path).name == 'best_image_mIoU_epoch_1.pth'
    assert outcome(tmp_path)['best_score'] == 80.0
    for epoch, score in ((3, 0.8), (4, 0.6), (5, 0.9)):
        path = tmp_path / f'best_val_loss_epoch_{epoch}.pth'
        _checkpoint(path, epoch, path.name, score)
    assert best_checkpoint(tmp_path).name == 'best_val_loss_epoch_4.pth'  # the metric saved last
