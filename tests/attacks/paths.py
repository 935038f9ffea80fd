"""Names and archives that lead out of the folder they belong to."""

import tarfile
from pathlib import Path

IN_LISTS = ('../secret', 'x/../../secret', '/etc/secret', '..', 'C:/secret')
IN_ARCHIVES = ('../evil.jpg', '/evil.jpg', 'top/../../evil.jpg', 'C:\\evil.jpg')


def add_link(archive: Path, name: str, target: Path) -> None:
    """Add a symbolic link to a tar file."""
    with tarfile.open(archive, 'a') as file:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        file.addfile(link)
