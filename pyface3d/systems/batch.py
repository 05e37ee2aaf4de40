"""Many pictures through one system: read ahead, failures kept apart, resumable, everything written whole."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError, NoFaceError, OutputError, Pyface3dError
from pyface3d.io.images import decode_image
from pyface3d.io.meshes.files import read_bytes
from pyface3d.io.pictures import encode_png, reduced
from pyface3d.io.records import encode_json, versions
from pyface3d.io.report import Report, Row, write_report
from pyface3d.io.staging import StagedFiles, remove_stale, staged_files
from pyface3d.io.weights import list_assets
from pyface3d.reconstruction import FORMATS, POSES, STAGES, Reconstruction, check_choices
from pyface3d.systems.inputs import Photo, expand_inputs
from pyface3d.systems.running import THUMBNAIL, Result, RunOptions, System, Writer, around
from pyface3d.systems.sight import HIDDEN_SUFFIX, read_hidden

PICTURES_FOLDER = "report_files"
_MAX_PICTURE_BYTES = 256 << 20
_SIDE = np.deg2rad(45.0)
_TURN = np.deg2rad(25.0)
_REPORT_EVERY_S = 5.0
_LANDMARK_ENDINGS = (".pts", ".txt", ".csv", ".npy")

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class BatchOptions(RunOptions):
    """How a run of reconstructions writes and works; the system itself has its own options.

    Attributes:
        stages, poses, formats, ascii, plain: see `Reconstruction.export`.
    """

    stages: tuple[str, ...] = STAGES[:1]
    poses: tuple[str, ...] = POSES
    formats: tuple[str, ...] = ("ply", "glb")
    ascii: bool = False
    plain: bool = False

    def __post_init__(self) -> None:
        check_choices("stages", self.stages, STAGES)
        check_choices("poses", self.poses, POSES)
        check_choices("formats", self.formats, FORMATS)
        super().__post_init__()

    def affecting_files(self) -> dict[str, Any]:
        names = ("stages", "poses", "formats", "ascii", "plain")
        return {**{name: getattr(self, name) for name in names}, **super().affecting_files()}

    def writer(self) -> Writer:
        return _MeshWriter(self)


@dataclass(frozen=True)
class _MeshWriter:
    """Meshes, overlay and mask of a `Reconstruction`, and views of it."""

    options: BatchOptions

    def files(self, stem: str, result: Reconstruction, image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
        options = self.options
        meshes = options.stages, options.poses, options.formats
        return result.encode(stem, *meshes, ascii=options.ascii, plain=options.plain, image=image)

    def pictures(self, result: Reconstruction, image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        region = around(result.box, image)
        left, top, right, bottom = region
        return {
            "photo": reduced(image[top:bottom, left:right], THUMBNAIL),
            "overlay": reduced(result.overlay(image, region), THUMBNAIL),
            "clay": result.render(size=THUMBNAIL, textured=False),
            "clay side": result.render(yaw=_SIDE, size=THUMBNAIL, textured=False),
            "textured left": result.render(yaw=-_TURN, size=THUMBNAIL),
            "textured right": result.render(yaw=_TURN, size=THUMBNAIL),
        }


def run_batch(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    system: System,
    options: RunOptions = BatchOptions(),
    *,
    on_row: Callable[[int, int, Row], None] = lambda done, total, row: None,
) -> Report:
    """Run a system over every picture behind ``inputs`` and write the results and a report to ``out``.

    A picture that cannot be read, holds no face or makes the system fail becomes a row of the report; the run goes
    on. Files of one picture appear together, ``<stem>.json`` last; a run that was killed can be resumed at any point.

    Args:
        inputs: see `expand_inputs`.
        out: folder, made when missing.
        system: called from ``options.batch`` threads at once.
        options: `BatchOptions` for reconstructions.
        on_row: told after each picture: how many are done, how many there are, and what became of it.

    Returns:
        The report, as written to ``report.json`` and ``report.html``.

    Raises:
        OutputError: ``out`` cannot be written to; what was complete before stays.
        KeyboardInterrupt: passed on, after what is being written is complete and the report is up to date.
    """
    out = Path(out)
    photos = expand_inputs(inputs)
    remove_stale(out)
    with staged_files(out):
        pass  # a folder that cannot be written to fails here, not after the first fit
    report = Report(total=len(photos), options=options.affecting_files(), versions=versions())
    reported = time.monotonic()
    try:
        for row in _Run(out, system, options).rows(photos):
            report.rows.append(row)
            on_row(len(report.rows), len(photos), row)
            # Rewriting a long report takes its time: at most a twentieth of the run's.
            if time.monotonic() - reported > max(_REPORT_EVERY_S, 20 * report.seconds_to_write):
                write_report(out, report)
                reported = time.monotonic()
    except BaseException:
        with suppress(OutputError):  # on a full disk; the error on its way is the one to show
            write_report(out, report)
        raise
    report.finished = True
    write_report(out, report)
    return report


@dataclass
class _Job:
    """One picture on its way through the run; ``row`` is set as soon as its outcome is known."""

    photo: Photo
    seconds: float = 0.0
    fingerprint: str = ""
    image: NDArray[np.uint8] | None = None
    landmarks: NDArray[np.float32] | None = None
    hidden: NDArray[np.bool_] | None = None
    results: Sequence[Result] = ()
    row: Row | None = None

    def fail(self, error: BaseException) -> None:
        details = None
        if isinstance(error, Pyface3dError):
            message = str(error)
        elif isinstance(error, MemoryError):
            message = "it needs more memory than there is; scale it down or lower --batch"
        else:  # our own bug: the run goes on, and the report keeps what is needed to find it
            message = f"unexpected {type(error).__name__}: {error}; please report it with the traceback in report.json"
            details = "".join(traceback.format_exception(error))
        kind = "no face" if isinstance(error, NoFaceError) else "failed"
        self.row = Row(
            input=printable(self.photo.path), stem=self.photo.stem, status=kind, error=message, details=details
        )


class _Run:
    """Reading, working and writing, each in threads of its own, in the order of the inputs."""

    def __init__(self, out: Path, system: System, options: RunOptions) -> None:
        self.out, self.system, self.options, self.writer = out, system, options, options.writer()

    def rows(self, photos: list[Photo]) -> Iterator[Row]:
        options = self.options
        with (
            ThreadPoolExecutor(options.workers, "read") as readers,
            ThreadPoolExecutor(options.batch, "system") as systems,
            ThreadPoolExecutor(options.workers, "write") as writers,
        ):
            try:
                jobs = (_Job(photo) for photo in photos)
                read = map_ahead(readers, partial(self._step, self._read), jobs, options.workers + options.batch)
                done = map_ahead(systems, partial(self._step, self._work), read, options.batch + 1)
                for job in map_ahead(writers, partial(self._step, self._write), done, options.workers):
                    assert job.row is not None
                    yield replace(job.row, seconds=round(job.seconds, 3))
            finally:
                for pool in (readers, systems, writers):
                    pool.shutdown(wait=False, cancel_futures=True)

    def _step(self, work: Callable[[_Job], None], job: _Job) -> _Job:
        begin = time.perf_counter()
        try:
            work(job)
        except OutputError:
            raise  # the next picture would meet it too
        except Exception as error:
            job.fail(error)
        job.seconds += time.perf_counter() - begin
        return job

    def _read(self, job: _Job) -> None:
        if job.photo.error is not None:
            raise InputError(job.photo.error)
        data = read_bytes(job.photo.path, _MAX_PICTURE_BYTES)
        landmarks_file = self._landmarks_file(job.photo.path)
        occluder_file = self._occluder_file(job.photo.path)
        job.fingerprint = self._fingerprint(data, landmarks_file, occluder_file)
        if self.options.resume:
            job.row = self._complete(job.photo, job.fingerprint)
            if job.row is not None:
                return
        job.image = decode_image(data, printable(job.photo.path))
        if landmarks_file is not None:
            from pyface3d.detect import read_landmarks

            job.landmarks = read_landmarks(landmarks_file)
        if occluder_file is not None:
            job.hidden = read_hidden(occluder_file, *job.image.shape[:2])

    def _work(self, job: _Job) -> None:
        if job.row is not None:
            return
        assert job.image is not None
        drawn = () if job.hidden is None else (job.hidden,)
        job.results = self.system(job.image, job.landmarks, *drawn)
        if not job.results:
            raise NoFaceError("no face was found; give its landmarks with --landmarks if there is one")

    def _write(self, job: _Job) -> None:
        image, results, job.image, job.results = job.image, job.results, None, ()
        if results:
            assert image is not None
            job.row = self._write_results(job, image, results)
        elif job.row is not None and not job.row.ok and image is not None and self.options.pictures:
            with staged_files(self.out) as files:
                job.row = replace(job.row, pictures=[self._pictures(files, job.photo.stem, image, None)])

    def _write_results(self, job: _Job, image: NDArray[np.uint8], results: Sequence[Result]) -> Row:
        options, stem, name = self.options, job.photo.stem, printable(job.photo.path)
        note = None
        if options.max_faces is not None and len(results) > options.max_faces:
            results = results[: options.max_faces]
            note = (
                f"more than {options.max_faces} faces were found; the best {options.max_faces} are here (--max-faces)"
            )
        records: list[tuple[str, dict[str, Any]]] = []
        pictures: list[dict[str, str]] = []
        with staged_files(self.out) as files:
            for number, result in enumerate(results, 1):
                own = stem if number == 1 else f"{stem}_face{number}"
                for file, data in self.writer.files(own, result, image):
                    files.write_bytes(file, data)
                if options.pictures:
                    pictures.append(self._pictures(files, own, image, result))
                record = {"input": name, "face": number, "faces": len(results), **result.record()}
                records.append((f"{own}.json", record))
            for file, record in records[1:]:
                files.write_bytes(file, encode_json(record))
            # The first face's record comes last and lists all files: where it stands, the picture is complete.
            (file, record), listed = records[0], files.sizes()
            outcome: dict[str, Any] = {
                "pictures": pictures,
                "quality": [entry["quality"] for _, entry in records],
                "note": note,
            }
            run = {"fingerprint": job.fingerprint, "files": listed, **outcome}
            files.write_bytes(file, encode_json({**record, "run": run}))
        return Row(name, stem, "ok", faces=len(results), files=[*listed, file], **outcome)

    def _pictures(
        self, files: StagedFiles, name: str, image: NDArray[np.uint8], result: Result | None
    ) -> dict[str, str]:
        """Draw the report's thumbnails; their paths inside the output folder by what they show."""
        drawn = {"photo": reduced(image, THUMBNAIL)} if result is None else self.writer.pictures(result, image)
        paths = {what: f"{PICTURES_FOLDER}/{name}_{what.replace(' ', '_')}.png" for what in drawn}
        for what, picture in drawn.items():
            files.write_bytes(paths[what], encode_png(picture))
        return paths

    def _landmarks_file(self, path: Path) -> Path | None:
        if self.options.landmarks is None:
            return None
        for ending in _LANDMARK_ENDINGS:
            candidate = self.options.landmarks / (path.stem + ending)
            if candidate.is_file():
                return candidate
        raise InputError(f"{self.options.landmarks} holds no landmarks for it ({path.stem}{_LANDMARK_ENDINGS[0]} …)")

    def _occluder_file(self, path: Path) -> Path | None:
        if self.options.occluders is None:
            return None
        candidate = self.options.occluders / f"{path.stem}{HIDDEN_SUFFIX}.png"
        return candidate if candidate.is_file() else None

    @cached_property
    def _shipped_weights(self) -> dict[str, str]:
        """Checksums by asset: a newly trained network makes other files than the one before."""
        return {asset.card.name: asset.card.sha256 for asset in list_assets()}

    def _fingerprint(self, data: bytes, *own: Path | None) -> str:
        """Of everything that decides the output files."""
        settings = [self.options.affecting_files(), versions(), self._shipped_weights]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        digest.update(hashlib.sha256(data).digest())
        for file in own:
            digest.update(b"" if file is None else hashlib.sha256(read_bytes(file, _MAX_PICTURE_BYTES)).digest())
        return digest.hexdigest()

    def _complete(self, photo: Photo, fingerprint: str) -> Row | None:
        """The row of a picture whose files are all there and were made like this; None where they are not."""
        marker = self.out / f"{photo.stem}.json"
        try:
            record = json.loads(marker.read_bytes())
            run = record["run"]
            sizes = run["files"]
            if run["fingerprint"] != fingerprint:
                return None
            # The sizes also tell files that a power cut left empty.
            if any((self.out / name).stat().st_size != size for name, size in sizes.items()):
                return None
            return Row(
                input=printable(photo.path),
                stem=photo.stem,
                status="ok",
                faces=int(record["faces"]),
                files=[*sizes, marker.name],
                **{key: run[key] for key in ("pictures", "quality", "note")},
                resumed=True,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # missing, foreign or damaged: make it anew


def map_ahead(pool: Executor, work: Callable[[T], U], items: Iterable[T], depth: int) -> Iterator[U]:
    """``work`` of every item, in order, with up to ``depth`` items in the pool; reads no further ahead than that."""
    waiting: deque[Future[U]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        while waiting and (len(waiting) >= depth or waiting[0].done()):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def printable(path: Path) -> str:
    """A path as text that can be printed and stored: undecodable bytes and control characters become �."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "�" for letter in text)
