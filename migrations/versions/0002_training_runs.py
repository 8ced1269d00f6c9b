"""Training runs: kept epochs, confusion matrix, pictures, environment."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KINDS = "kind IN ('state', 'best', 'last', 'epoch')"

CONFUSION_MATRIX = """
    CREATE VIEW confusion_matrix AS
    SELECT job_id, true_class, answer_class, images, true_index, answer_index FROM answers
"""

CLASS_ACCURACIES = """
    CREATE VIEW class_accuracies AS
    SELECT job_id, true_class AS class_name, SUM(images) AS images,
           SUM(CASE WHEN true_index = answer_index THEN images ELSE 0 END) * 1.0 / SUM(images) AS accuracy
    FROM answers GROUP BY job_id, true_index, true_class
"""


def upgrade() -> None:
    op.add_column("epochs", sa.Column("top5_accuracy", sa.Double(), nullable=True))
    op.add_column("epochs", sa.Column("gradient_norm", sa.Double(), nullable=True))
    op.add_column("training_runs", sa.Column("confusion_path", sa.Text(), nullable=True))
    op.add_column("training_runs", sa.Column("filters_path", sa.Text(), nullable=True))
    op.add_column("training_runs", sa.Column("environment", sa.JSON(), nullable=True))
    _rebuild_checkpoints()
    op.create_table(
        "answers",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("true_index", sa.Integer(), nullable=False),
        sa.Column("answer_index", sa.Integer(), nullable=False),
        sa.Column("true_class", sa.Text(), nullable=False),
        sa.Column("answer_class", sa.Text(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.CheckConstraint("images > 0", name=op.f("ck_answers_images")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_answers_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "true_index", "answer_index", name=op.f("pk_answers")),
    )
    op.execute(CONFUSION_MATRIX)
    op.execute(CLASS_ACCURACIES)


def _rebuild_checkpoints() -> None:
    """Create ``checkpoints`` again with another primary key and check, since SQLite can't alter them."""
    op.execute("CREATE TABLE checkpoints_before AS SELECT * FROM checkpoints")
    op.drop_table("checkpoints")
    op.create_table(
        "checkpoints",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.CheckConstraint(KINDS, name=op.f("ck_checkpoints_kind")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_checkpoints_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "kind", "epoch", name=op.f("pk_checkpoints")),
    )
    op.execute(
        "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
        "SELECT job_id, kind, epoch, path, sha256, bytes FROM checkpoints_before"
    )
    op.drop_table("checkpoints_before")
