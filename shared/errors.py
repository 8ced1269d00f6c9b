"""Errors shown to users. A class's docstring is its message; ``{names}`` are filled in when it is raised.

Each class has the exit code of the command line: 1 the job failed, 2 usage, 3 database or broker unreachable,
4 not found, 5 schema out of date. The exit codes of the vision library's errors are in ``EXIT_CODES``.
"""

from __future__ import annotations

from unitscope import errors as vision
from unitscope.errors import UnitscopeError

EXIT_CODES: dict[type[UnitscopeError], int] = {
    vision.InvalidArgument: 2,
    vision.UnsupportedSize: 2,
    vision.InvalidRecipe: 2,
    vision.NotAConvolution: 2,
    vision.LayerWithoutUnits: 2,
    vision.NoFeatures: 2,
    vision.AmbiguousLayer: 2,
    vision.UnsupportedActivation: 2,
    vision.WeightsDontFit: 2,
    vision.OtherClasses: 2,
    vision.WeightsAmbiguous: 2,
    vision.WeightsNotReadable: 2,
    vision.WeightsNotFinite: 2,
    vision.DownloadFailed: 2,
    vision.NoSuchNetwork: 4,
    vision.NoSuchLayer: 4,
    vision.NoSuchModule: 4,
    vision.UnknownLayer: 4,
    vision.NoSuchUnit: 4,
    vision.NoSuchFile: 4,
}


# Sentences about command-line options that are appended to the messages of the vision library's errors.
REMEDIES: dict[type[UnitscopeError], str] = {
    vision.NoSuchNetwork: "Networks of your own: `analyze network ls`, and `analyze network add`.",
    vision.WeightsDontFit: "Options: --network, --classes, --fc, --maps, --without.",
    vision.OtherClasses: "Option: --classes.",
    vision.UnsupportedSize: "Option: --size.",
    vision.DownloadFailed: "Options for a local copy: --root, --weights.",
    vision.UnsupportedActivation: "Option: --projection gradient, or auto.",
    vision.UnknownLayer: "All layers: `analyze network show NAME`.",
    vision.ImageUnavailable: "Command: `analyze dataset update`, with --root for a moved folder.",
    vision.ImageChanged: "Command: `analyze dataset update`; then submit the job again.",
}


def exit_code(error: UnitscopeError) -> int:
    """Return the command line's exit code for an error: the class's own, else that in ``EXIT_CODES``, else 1."""
    return getattr(error, "exit_code", None) or EXIT_CODES.get(type(error), 1)


def message(error: UnitscopeError) -> str:
    """Return the error's message, with the command-line options that help."""
    return " ".join([str(error), *([REMEDIES[type(error)]] if type(error) in REMEDIES else [])])


def error_class(name: str) -> type[UnitscopeError]:
    """Return the error class of this name, from this module or the vision library, else ``UnitscopeError``."""
    error = globals().get(name) or getattr(vision, name, None)
    return error if isinstance(error, type) and issubclass(error, UnitscopeError) else UnitscopeError


# --- 1: the job failed ---------------------------------------------------------------------------


class JobFailed(UnitscopeError):
    """Job {job_id} failed: {reason} Run `analyze logs {job_id}` for its log and `analyze retry {job_id}` to try
    again."""


class JobCancelled(UnitscopeError):
    """Job {job_id} was cancelled. Run `analyze retry {job_id}` to resume it."""


class StudyIncomplete(UnitscopeError):
    """Study '{name}' is not complete: {reason}"""


class VerificationFailed(UnitscopeError):
    """Job {job_id} failed verification: {count} differences. An artifact or an image may have been changed or
    removed, or the results differ on this device or version of torch. `analyze submit --force` computes the job
    again."""


class VerificationsFailed(UnitscopeError):
    """{failed} of {count} done jobs failed verification or could not be checked. `analyze verify JOB` names all
    differences of a job."""


class ProjectionCheckFailed(UnitscopeError):
    """The projection of unit {unit} of {layer} from image {image} failed its check: {reason}.
    The result was not stored. If images have changed, run `analyze dataset update NAME` and submit the job
    again."""


class OutOfMemory(UnitscopeError):
    """Not enough memory on {device} ({reason}). Submit the job again with less work per batch (--batch-size of a
    training run, --memory of an occlusion sweep) or smaller images (--size), or run `analyze retry {job_id}` when
    more memory is free or a worker has a device with more memory."""


class StoreFull(UnitscopeError):
    """No space left in the artifact store {root} ({reason}). Free some space, then `analyze retry` the job."""


class StoreNotWritable(UnitscopeError):
    """The artifact store {root} can't be written ({reason}). Correct its permissions, or set ANALYZE_STORE to
    another folder."""


class FileNotWritable(UnitscopeError):
    """{path} can't be written ({reason}). Choose another path, or correct its permissions."""


class ArtifactMissing(UnitscopeError):
    """Artifact {path} is not in the store {root}. It may have been removed, or this may be the wrong store: check
    `store` in `analyze doctor`. `analyze submit --force` computes the job again."""


class DatabaseDamaged(UnitscopeError):
    """The database {url} has a value that can't be read: `{column}` of the row of the table `{table}` with {row}
    {reason}. No version of unitscope writes this. Restore a backup (`analyze db restore`), or correct the value in
    the database while nothing uses it."""


class SpecificationNotReadable(UnitscopeError):
    """The specification of this '{kind}' job can't be read ({reason}): another version of unitscope made the job.
    Submit it again, or use that version."""


class SummaryNotReadable(UnitscopeError):
    """The summary of this '{kind}' job can't be read ({reason})."""


class NetworkNotReadable(UnitscopeError):
    """The row of network '{name}' in the table registered_networks can't be read ({reason}): no version of
    unitscope writes this. Remove the network (`analyze network rm {name}`) and add it again."""


class IncompatibleVersion(UnitscopeError):
    """{path} was written by another version of unitscope, and this version can't continue from it ({reason}).
    Start again with `analyze submit --force`."""


class ArtifactDamaged(UnitscopeError):
    """Artifact {path} in the store {root} is damaged: its content does not match the SHA-256 in its name.
    Restore the file from a copy, then `analyze retry` the job, or compute the job again with `analyze submit
    --force`."""


class ImageNoLongerReadable(UnitscopeError):
    """Image {image} can no longer be read ({reason}). Restore it, then run `analyze retry {job_id}`."""


class RankingIncomplete(UnitscopeError):
    """The ranking of unit {unit} of layer '{layer}' is not complete: a shard compared its images with those of
    another shard, whose images have changed since. Submit the job again with --force."""


class NoUsableImage(UnitscopeError):
    """None of the {count} images could be decoded: check the files at {root}. `analyze logs {job_id}` lists the
    reasons. If the files were changed on purpose, run `analyze dataset update` and submit the job again."""


# --- 2: usage ------------------------------------------------------------------------------------


class UsageError(UnitscopeError):
    """{reason}"""

    exit_code = 2


class NoTensorBoard(UsageError):
    """--tensorboard needs the package tensorboard on the worker's machine: pip install
    'unitscope[tensorboard]'."""


class NotExtendable(UsageError):
    """Training run {job_id} can't be extended: {reason}."""


class BadSettings(UsageError):
    """Invalid settings: {reason}. `analyze doctor` shows where each value comes from."""


class NetworkNotBuilt(UsageError):
    """Network '{network}' can't be built: {reason}."""


class NetworkTooSlow(NetworkNotBuilt):
    """Network '{network}' can't be built: this took longer than {seconds} s. Option: --time-limit."""


class NetworkExists(UsageError):
    """Network '{name}' was added with {what}. Choose another name, or give --replace: later jobs then use what you
    add now, and earlier jobs keep theirs."""


class NetworkCodeChanged(UsageError):
    """The code of network '{name}' in {folder} has changed since it was added ({files}). Add it again:
    `{command}`. Earlier jobs keep their code."""


class NetworkInUse(UsageError):
    """Network '{name}' cannot be removed: it is used by {jobs}. Remove these jobs first (`analyze rm`), or add
    --with-jobs to remove them together with the network."""


class NetworkNotRegistered(UsageError):
    """The code of network '{network}' ({factory}) is not run here, since it was never added: the job was imported,
    or the network was removed. If you trust this code, add it, with the same arguments, or from the job:
    `analyze network add {network} --from-job JOB`."""


class UserNetworksOff(UsageError):
    """Network '{network}' is not one of ours or torchvision's, and user_networks = false does not allow others on
    {host}. An administrator can allow them: ANALYZE_USER_NETWORKS=true."""


class CodeNotReadable(UsageError):
    """The artifact {path} is not the code of a network: {reason}."""


class EmptySplit(UsageError):
    """Split '{split}' of data set '{dataset}' has no usable image. `analyze dataset show {dataset}` lists the
    reasons."""


class NoTrainedNetwork(UsageError):
    """There is no finished training run on data set '{dataset}'. Train one
    (`analyze submit train --dataset {dataset}`) or give --weights FILE --network NAME."""


class OnlyEarlierNetwork(UsageError):
    """There is no finished training run on data set '{dataset}' as it is now. Training run {job_id} was on an
    earlier version of it: use it with --run {job_id}, or train a new one (`analyze submit train --dataset
    {dataset}`)."""


class DatasetExists(UsageError):
    """A data set named '{name}' with other content is already registered (at {root}). Choose another --name.
    If its files have changed, run `analyze dataset update {name}`. To read it with other options, remove it first:
    `analyze dataset rm {name}`."""


class DatasetElsewhere(UsageError):
    """A data set named '{name}' with the same content is already registered, at {root}. To read it from {given}
    from now on: `analyze dataset update {name} --root {given}`. To keep both, choose another --name."""


class NothingUsable(UsageError):
    """No image at {root} can be used ({reasons}). The database was not changed."""


class FolderNotEmpty(UsageError):
    """{path} exists and has other content. Choose another --name, or remove {path}."""


class NotADataset(UsageError):
    """{root} is not a data set of kind '{kind}': {reason}."""


class UnsafeArchive(UsageError):
    """The archive {path} was refused: {reason}. Nothing was unpacked."""


class BadExport(UsageError):
    """The export {path} can't be imported: {reason}. No job was created."""


class QueryFailed(UsageError):
    """The query failed: {reason}"""


class JobNotOfKind(UsageError):
    """Job {job_id} is a {kind} job and has no {result}."""


class JobStateConflict(UsageError):
    """Job {job_id} is {state}: it can't be {action}."""


class NotRepeatable(UsageError):
    """Job {job_id} is done, but left out images, and a {kind} job can't be continued with them. Compute it anew as
    another job: `analyze submit {kind} --force`, with the same options."""


class JobStillActive(UsageError):
    """Job {job_id} is {state} and cannot be removed. Cancel it first: `analyze cancel {job_id}`."""


class JobInUse(UsageError):
    """Job {job_id} cannot be removed: its results are used by {jobs}. Remove these jobs as well: `analyze rm
    {all}`, or add --cascade."""


class StoreTooSmall(UsageError):
    """The job would write up to {needed} to the artifact store {root}, where {available} can be used. Free some
    space (`analyze du` shows what takes it), request less, or give --ignore-space. --dry-run estimates the whole
    cost."""


class DatasetGone(UsageError):
    """The data set was removed or updated while the job was being submitted (id {dataset_id}). Submit the job
    again."""


class DatasetInUse(UsageError):
    """Data set '{name}' cannot be removed: it is used by {jobs}. Remove these jobs first (`analyze rm`), or
    add --with-jobs to remove them together with the data set."""


class BadStudy(UsageError):
    """The study {path} can't be used: {reason}"""


class StudyChanged(UsageError):
    """Study '{name}' was run with other parameters ({differences}). Give the same ones, --name for another study,
    or --replace to change this one. Its jobs stay in any case."""


class DatabaseBusy(UsageError):
    """The database {url} cannot be vacuumed while jobs are running ({jobs}), since it would block them. Wait until
    they have finished, or cancel them."""


class StoreNotUsable(UsageError):
    """The artifact store {root} can't be used on {host}: {reason}."""


class StoreOfAnotherDatabase(StoreNotUsable):
    """The artifact store {root} belongs to another database ({owner}) than {url} ({identity}). Nothing was written
    or removed. Check ANALYZE_DATABASE_URL, ANALYZE_HOME and ANALYZE_STORE on {host}. If the store is to belong to
    this database from now on, run `analyze db adopt-store`."""


class StoreNotKnown(StoreNotUsable):
    """The artifact store {root} does not say which database it belongs to, and {url} ({identity}) knows {known} of
    {sample} of its files. Nothing was written or removed. Check ANALYZE_DATABASE_URL, ANALYZE_HOME and
    ANALYZE_STORE on {host}. If the store is to belong to this database, run `analyze db adopt-store`."""


class NotConfirmed(UsageError):
    """{reason} There is no terminal to ask on, so nothing was changed. To go on, add --yes."""


class DatabaseNotEmpty(UsageError):
    """The database {url} is not empty ({content}). Nothing was restored. Restore into an empty one, which
    ANALYZE_HOME (SQLite) or ANALYZE_DATABASE_URL names, or put this one aside first ({remedy})."""


class WorkersAlive(UsageError):
    """Workers use the database {url}: {workers}. Nothing was restored. Stop them first; a worker that was killed
    counts for 30 s."""


class BackupNotReadable(UsageError):
    """The backup {path} can't be restored: {reason}"""


# --- 3: database or broker unreachable -----------------------------------------------------------


class StoreUnavailable(StoreNotUsable):
    """The artifact store {root} is not available on {host}: {reason}. Mount there the store that all workers
    share, or set ANALYZE_STORE to its path. If its files are lost or were moved for good, run
    `analyze db adopt-store`: it makes this folder the database's store."""

    exit_code = 3


class Unreachable(UnitscopeError):
    """Unreachable: {reason}."""

    exit_code = 3


class DatabaseUnreachable(Unreachable):
    """The database {url} is unreachable: {reason}. Check that it is running and that ANALYZE_DATABASE_URL is
    correct."""


class DatabaseFull(DatabaseUnreachable):
    """No space left for the database {url} ({reason}). Nothing was written. Free some space and try again;
    shards that workers were running are queued again automatically."""


class DatabaseFolderNotWritable(DatabaseUnreachable):
    """The database is unreachable: its folder {folder} can't be created ({reason}). Correct the permissions, or
    set ANALYZE_HOME, or ANALYZE_DATABASE_URL if it is in use, to a place that this user can write."""


class DatabaseFileNotUsable(DatabaseUnreachable):
    """The database {url} can't be used: {reason}. Check that this user can read and write the file and its
    folder (ANALYZE_HOME, or ANALYZE_DATABASE_URL if it is in use)."""


class DatabaseLocked(DatabaseUnreachable):
    """The database {url} is locked: {holder} kept it locked for the {seconds} s that this command waited.
    Nothing was written. Try again when that process has ended or continues."""


class BrokerUnreachable(Unreachable):
    """Redis at {url} is unreachable: {reason}. Check that it is running and that ANALYZE_REDIS_URL is correct.
    (Without that setting, `analyze up` starts a private Redis.)"""


class BrokerRefuses(BrokerUnreachable):
    """Redis at {url} refuses commands: {reason}. Shards are sent when this is corrected; `analyze doctor` names
    keys that something else has written."""


class NoRedisServer(Unreachable):
    """The private Redis can't be started: {reason}. Correct this, or set ANALYZE_REDIS_URL to a running server."""


# --- 4: not found --------------------------------------------------------------------------------


class NotFound(UnitscopeError):
    """Not found: {reason}."""

    exit_code = 4


class NoSuchJob(NotFound):
    """There is no job {job_id}. `analyze ls` lists the existing jobs."""


class JobRemoved(NoSuchJob):
    """Job {job_id} ({description}) was removed on {date}. `analyze ls` lists the existing jobs."""


class NoSuchDataset(NotFound):
    """There is no data set '{name}'{close}. Registered: {choices}. Add one with `analyze dataset add`."""


class NoSuchOwnNetwork(NotFound):
    """There is no network of your own named '{name}'. Added: {choices}. Add one with `analyze network add`."""


class NoSuchSplit(NotFound):
    """Data set '{dataset}' has no split '{split}'. It has: {choices}."""


class NoSuchClass(NotFound):
    """Data set '{dataset}' has no class '{name}'{close}. `analyze dataset show {dataset}` lists them."""


class NoSuchImage(NotFound):
    """Data set '{dataset}' has no image {image}. `analyze query "SELECT i.id, i.path FROM images i JOIN datasets d
    ON d.id = i.dataset_id WHERE d.name = '{dataset}'"` lists its images."""


class NoImageWithId(NotFound):
    """There is no image {image}. The images of a removed data set are gone; `analyze query "SELECT id, path FROM
    images"` lists those of all data sets."""


class NoSuchStudy(NotFound):
    """There is no study '{name}'. {choices}"""


class NoSuchRun(NotFound):
    """There is no {state}training run {job_id}. `analyze ls --kind train` lists them."""


class ImageNotSwept(NotFound):
    """Job {job_id} has no occlusion maps of image {image}. `analyze results {job_id}` lists its images."""


# --- 5: schema out of date -----------------------------------------------------------------------


class SchemaTooOld(UnitscopeError):
    """The database {url} has schema {found}, but this version needs {needed}. Run `analyze db upgrade`."""

    exit_code = 5


class SchemaTooNew(UnitscopeError):
    """The database {url} has schema {found}, which is newer than this version of unitscope knows ({needed}).
    Update unitscope."""

    exit_code = 5
