"""Tar archives of texts, read from the first file to the last without unpacking to the disk."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from ...util.problems import Problems
from .reading import Document

DAMAGED = "damaged archive"

# Reads a file of an archive by its name; None if the name says that it is no text.
FindReader = Callable[[str], Callable[[BinaryIO, str], Iterator[Document]] | None]


def read(
    file: BinaryIO,
    place: str,
    find_reader: FindReader,
    problems: Problems,
    ignore: Callable[[], None],
) -> Iterator[Document]:
    """Read the texts in a tar archive.

    file (BinaryIO): The archive, unpacked if it was gzipped.
    place (str): Its name.
    find_reader (Callable): Gives the reader for a file name, or None.
    problems (Problems): Told of a damaged archive.
    ignore (Callable): Called for each file that is no text, and for hidden ones.
    YIELDS (Document): Documents in the order of the archive.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # else all that was read stays listed in memory
                if not member.isfile():
                    continue
                hidden = member.name.rpartition("/")[2].startswith(".")
                reader = None if hidden else find_reader(member.name)
                if reader is None:
                    ignore()
                else:
                    yield from reader(archive.extractfile(member), f"{place}/{member.name}")
    except tarfile.TarError as error:
        problems.add(DAMAGED, place, f"not a whole tar archive ({error}). Fetch it again.")
