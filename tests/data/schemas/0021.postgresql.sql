SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.answers (
    job_id integer NOT NULL,
    true_index integer NOT NULL,
    answer_index integer NOT NULL,
    true_class text NOT NULL,
    answer_class text NOT NULL,
    images integer NOT NULL,
    CONSTRAINT ck_answers_images CHECK ((images > 0))
);
CREATE TABLE public.artifacts (
    path text NOT NULL,
    sha256 character varying(64) NOT NULL,
    bytes bigint NOT NULL,
    job_id integer,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.bottom_activation_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    rank integer NOT NULL,
    activation double precision NOT NULL,
    image_id integer NOT NULL,
    "row" integer,
    col integer,
    CONSTRAINT ck_bottom_activation_rows_rank CHECK ((rank >= 1)),
    CONSTRAINT ck_bottom_activation_rows_sign CHECK ((activation < (0)::double precision))
);
CREATE TABLE public.images (
    id integer NOT NULL,
    dataset_id integer NOT NULL,
    path text NOT NULL,
    object_number integer NOT NULL,
    class_index integer NOT NULL,
    class_name text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    box_left integer,
    box_top integer,
    box_right integer,
    box_bottom integer,
    sha256 character varying(64) NOT NULL,
    perceptual_hash bigint,
    CONSTRAINT ck_images_box CHECK ((((box_left IS NULL) AND (box_top IS NULL) AND (box_right IS NULL) AND (box_bottom IS NULL)) OR ((box_left IS NOT NULL) AND (box_top IS NOT NULL) AND (box_right IS NOT NULL) AND (box_bottom IS NOT NULL) AND (box_left >= 0) AND (box_top >= 0) AND (box_left < box_right) AND (box_top < box_bottom) AND (box_right <= width) AND (box_bottom <= height)))),
    CONSTRAINT ck_images_size CHECK (((width > 0) AND (height > 0)))
);
CREATE TABLE public.searched_layers (
    id integer NOT NULL,
    job_id integer NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    contact_sheet_path text,
    projection text,
    maxima_path text
);
CREATE VIEW public.bottom_activations AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    b.unit,
    b.rank,
    b.activation,
    b.image_id,
    i.path AS image_path,
    i.class_name,
    b."row",
    b.col
   FROM ((public.bottom_activation_rows b
     JOIN public.searched_layers l ON ((l.id = b.layer_id)))
     JOIN public.images i ON ((i.id = b.image_id)));
CREATE TABLE public.checkpoints (
    job_id integer NOT NULL,
    kind character varying(8) NOT NULL,
    epoch integer NOT NULL,
    path text NOT NULL,
    sha256 character varying(64) NOT NULL,
    bytes integer NOT NULL,
    CONSTRAINT ck_checkpoints_kind CHECK (((kind)::text = ANY (ARRAY[('state'::character varying)::text, ('best'::character varying)::text, ('last'::character varying)::text, ('epoch'::character varying)::text])))
);
CREATE VIEW public.class_accuracies AS
 SELECT job_id,
    true_class AS class_name,
    sum(images) AS images,
    (((sum(
        CASE
            WHEN (true_index = answer_index) THEN images
            ELSE 0
        END))::numeric * 1.0) / (sum(images))::numeric) AS accuracy
   FROM public.answers
  GROUP BY job_id, true_index, true_class;
CREATE TABLE public.class_activation_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    class_index integer NOT NULL,
    rank integer NOT NULL,
    activation double precision NOT NULL,
    image_id integer NOT NULL,
    "row" integer,
    col integer,
    CONSTRAINT ck_class_activation_rows_rank CHECK ((rank >= 1)),
    CONSTRAINT ck_class_activation_rows_sign CHECK ((activation > (0)::double precision))
);
CREATE VIEW public.class_activations AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    c.unit,
    i.class_name,
    c.rank,
    c.activation,
    c.image_id,
    i.path AS image_path,
    c."row",
    c.col
   FROM ((public.class_activation_rows c
     JOIN public.searched_layers l ON ((l.id = c.layer_id)))
     JOIN public.images i ON ((i.id = c.image_id)));
CREATE VIEW public.confusion_matrix AS
 SELECT job_id,
    true_class,
    answer_class,
    images,
    true_index,
    answer_index
   FROM public.answers;
CREATE TABLE public.correspondence_rows (
    job_id integer NOT NULL,
    part text NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    images integer NOT NULL,
    pairs integer NOT NULL,
    distance double precision,
    spread double precision,
    random_distance double precision,
    random_spread double precision,
    below_chance double precision,
    CONSTRAINT ck_correspondence_rows_pairs CHECK (((images >= 0) AND (pairs >= 0)))
);
CREATE VIEW public.correspondence AS
 SELECT job_id,
    part,
    layer,
    layer_path,
    images,
    pairs,
    distance,
    spread,
    random_distance,
    random_spread,
    below_chance
   FROM public.correspondence_rows;
CREATE TABLE public.correspondence_image_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    part text NOT NULL,
    boxes integer NOT NULL,
    masked_share double precision NOT NULL,
    array_path text NOT NULL,
    picture_path text NOT NULL,
    CONSTRAINT ck_correspondence_image_rows_masked_share CHECK (((masked_share > (0)::double precision) AND (masked_share <= (1)::double precision)))
);
CREATE VIEW public.correspondence_images AS
 SELECT m.job_id,
    m.image_id,
    i.path AS image_path,
    i.class_name,
    m.part,
    m.boxes,
    m.masked_share,
    m.array_path,
    m.picture_path
   FROM (public.correspondence_image_rows m
     JOIN public.images i ON ((i.id = m.image_id)));
CREATE TABLE public.correspondence_jobs (
    job_id integer NOT NULL,
    figure_path text NOT NULL
);
CREATE TABLE public.correspondence_pair_rows (
    job_id integer NOT NULL,
    part text NOT NULL,
    layer text NOT NULL,
    image_id integer NOT NULL,
    other_image_id integer NOT NULL,
    distance double precision NOT NULL,
    random_distance double precision NOT NULL,
    CONSTRAINT ck_correspondence_pair_rows_order CHECK ((image_id < other_image_id))
);
CREATE VIEW public.correspondence_pairs AS
 SELECT p.job_id,
    p.part,
    p.layer,
    p.image_id,
    i.path AS image_path,
    p.other_image_id,
    o.path AS other_image_path,
    p.distance,
    p.random_distance
   FROM ((public.correspondence_pair_rows p
     JOIN public.images i ON ((i.id = p.image_id)))
     JOIN public.images o ON ((o.id = p.other_image_id)));
CREATE TABLE public.counters (
    name text NOT NULL,
    kind text NOT NULL,
    stage text NOT NULL,
    value double precision NOT NULL
);
CREATE TABLE public.database_identity (
    uuid text NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.dataset_problems (
    id integer NOT NULL,
    dataset_id integer NOT NULL,
    path text NOT NULL,
    object_number integer NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL
);
CREATE SEQUENCE public.dataset_problems_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.dataset_problems_id_seq OWNED BY public.dataset_problems.id;
CREATE TABLE public.datasets (
    id integer NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    root text NOT NULL,
    options json NOT NULL,
    fingerprint character varying(64) NOT NULL,
    class_names json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.datasets_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.datasets_id_seq OWNED BY public.datasets.id;
CREATE TABLE public.epochs (
    job_id integer NOT NULL,
    epoch integer NOT NULL,
    phase character varying(8) NOT NULL,
    loss double precision NOT NULL,
    accuracy double precision NOT NULL,
    learning_rate double precision NOT NULL,
    images integer NOT NULL,
    seconds double precision NOT NULL,
    top5_accuracy double precision,
    gradient_norm double precision,
    class_accuracy double precision,
    CONSTRAINT ck_epochs_phase CHECK (((phase)::text = ANY (ARRAY[('train'::character varying)::text, ('val'::character varying)::text])))
);
CREATE TABLE public.events (
    id integer NOT NULL,
    job_id integer NOT NULL,
    shard_id integer,
    at timestamp with time zone NOT NULL,
    level text NOT NULL,
    message text NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.evolution_jobs (
    job_id integer NOT NULL,
    figure_path text,
    curve_path text NOT NULL
);
CREATE TABLE public.evolution_layers (
    id integer NOT NULL,
    job_id integer NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    block_path text
);
CREATE SEQUENCE public.evolution_layers_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.evolution_layers_id_seq OWNED BY public.evolution_layers.id;
CREATE TABLE public.evolution_units (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    settled_epoch integer,
    drawn boolean NOT NULL
);
CREATE TABLE public.feature_image_rows (
    job_id integer NOT NULL,
    image_number integer NOT NULL,
    image_id integer,
    file text,
    picture_path text NOT NULL,
    array_path text,
    CONSTRAINT ck_feature_image_rows_image_number CHECK ((image_number >= 1)),
    CONSTRAINT ck_feature_image_rows_source CHECK (((image_id IS NULL) <> (file IS NULL)))
);
CREATE TABLE public.feature_map_rows (
    job_id integer NOT NULL,
    image_number integer NOT NULL,
    layer_number integer NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    call integer NOT NULL,
    module text NOT NULL,
    channels integer NOT NULL,
    rows integer NOT NULL,
    cols integer NOT NULL,
    mean double precision NOT NULL,
    minimum double precision NOT NULL,
    maximum double precision NOT NULL,
    positive_share double precision NOT NULL,
    silent_channels integer NOT NULL,
    channels_path text,
    CONSTRAINT ck_feature_map_rows_numbers CHECK (((layer_number >= 1) AND (call >= 1)))
);
CREATE VIEW public.feature_maps AS
 SELECT m.job_id,
    m.image_number,
    f.image_id,
    COALESCE(i.path, f.file) AS image_path,
    i.class_name,
    m.layer_number,
    m.layer,
    m.layer_path,
    m.call,
    m.module,
    m.channels,
    m.rows,
    m.cols,
    m.mean,
    m.minimum,
    m.maximum,
    m.positive_share,
    m.silent_channels,
    f.picture_path,
    m.channels_path,
    f.array_path
   FROM ((public.feature_map_rows m
     JOIN public.feature_image_rows f ON (((f.job_id = m.job_id) AND (f.image_number = m.image_number))))
     LEFT JOIN public.images i ON ((i.id = f.image_id)));
CREATE TABLE public.features_jobs (
    job_id integer NOT NULL,
    sheet_path text NOT NULL
);
CREATE TABLE public.filter_layer_rows (
    job_id integer NOT NULL,
    network_number integer NOT NULL,
    layer_number integer NOT NULL,
    network text NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    filters integer NOT NULL,
    inputs integer NOT NULL,
    groups integer NOT NULL,
    kernel_rows integer NOT NULL,
    kernel_cols integer NOT NULL,
    stride_rows integer NOT NULL,
    stride_cols integer NOT NULL,
    reads_pixels boolean NOT NULL,
    rms_median double precision NOT NULL,
    rms_limit double precision NOT NULL,
    dead integer NOT NULL,
    dominating integer NOT NULL,
    over_limit integer NOT NULL,
    picture_path text NOT NULL,
    CONSTRAINT ck_filter_layer_rows_numbers CHECK (((network_number >= 1) AND (layer_number >= 1)))
);
CREATE VIEW public.filter_layers AS
 SELECT job_id,
    network_number,
    network,
    layer,
    layer_path,
    filters,
    inputs,
    groups,
    kernel_rows,
    kernel_cols,
    stride_rows,
    stride_cols,
    reads_pixels,
    rms_median,
    rms_limit,
    dead,
    dominating,
    over_limit,
    picture_path
   FROM public.filter_layer_rows;
CREATE TABLE public.filter_rows (
    job_id integer NOT NULL,
    network_number integer NOT NULL,
    layer_number integer NOT NULL,
    unit integer NOT NULL,
    rms double precision NOT NULL,
    norm double precision NOT NULL,
    mean double precision NOT NULL,
    minimum double precision NOT NULL,
    maximum double precision NOT NULL,
    dead boolean NOT NULL,
    dominating boolean NOT NULL,
    over_limit boolean NOT NULL,
    CONSTRAINT ck_filter_rows_unit CHECK ((unit >= 0))
);
CREATE VIEW public.filters AS
 SELECT f.job_id,
    f.network_number,
    l.network,
    l.layer,
    l.layer_path,
    f.unit,
    f.rms,
    f.norm,
    f.mean,
    f.minimum,
    f.maximum,
    f.dead,
    f.dominating,
    f.over_limit
   FROM (public.filter_rows f
     JOIN public.filter_layer_rows l ON (((l.job_id = f.job_id) AND (l.network_number = f.network_number) AND (l.layer_number = f.layer_number))));
CREATE TABLE public.filters_jobs (
    job_id integer NOT NULL,
    figure_path text NOT NULL
);
CREATE TABLE public.image_splits (
    split text NOT NULL,
    image_id integer NOT NULL,
    dataset_id integer NOT NULL
);
CREATE SEQUENCE public.images_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.images_id_seq OWNED BY public.images.id;
CREATE TABLE public.invariance_distance_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    transformation text NOT NULL,
    value double precision NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    distance double precision NOT NULL,
    relative_distance double precision,
    CONSTRAINT ck_invariance_distance_rows_distance CHECK ((distance >= (0)::double precision)),
    CONSTRAINT ck_invariance_distance_rows_transformation CHECK ((transformation = ANY (ARRAY['shift'::text, 'scale'::text, 'rotation'::text])))
);
CREATE TABLE public.invariance_prediction_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    transformation text NOT NULL,
    value double precision NOT NULL,
    probability double precision NOT NULL,
    class_name text NOT NULL,
    CONSTRAINT ck_invariance_prediction_rows_probability CHECK (((probability >= (0)::double precision) AND (probability <= (1)::double precision))),
    CONSTRAINT ck_invariance_prediction_rows_transformation CHECK ((transformation = ANY (ARRAY['shift'::text, 'scale'::text, 'rotation'::text])))
);
CREATE VIEW public.invariance AS
 SELECT d.job_id,
    d.image_id,
    i.path AS image_path,
    i.class_name,
    d.transformation,
    d.value,
    d.layer,
    d.layer_path,
    d.distance,
    d.relative_distance,
    p.probability,
    p.class_name AS answer_class
   FROM ((public.invariance_distance_rows d
     JOIN public.invariance_prediction_rows p ON (((p.job_id = d.job_id) AND (p.image_id = d.image_id) AND (p.transformation = d.transformation) AND (p.value = d.value))))
     JOIN public.images i ON ((i.id = d.image_id)));
CREATE TABLE public.invariance_image_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    clear_probability double precision NOT NULL,
    clear_class text NOT NULL,
    picture_path text
);
CREATE VIEW public.invariance_images AS
 SELECT m.job_id,
    m.image_id,
    i.path AS image_path,
    i.class_name,
    m.clear_probability,
    m.clear_class,
    m.picture_path
   FROM (public.invariance_image_rows m
     JOIN public.images i ON ((i.id = m.image_id)));
CREATE TABLE public.invariance_jobs (
    job_id integer NOT NULL,
    figure_path text NOT NULL
);
CREATE TABLE public.jobs (
    id integer NOT NULL,
    kind text NOT NULL,
    key character varying(64) NOT NULL,
    generation integer NOT NULL,
    specification json NOT NULL,
    dataset_id integer NOT NULL,
    state text NOT NULL,
    stage integer NOT NULL,
    shards_total integer NOT NULL,
    shards_left integer NOT NULL,
    cancel_requested boolean NOT NULL,
    error text,
    summary json,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    stored_bytes bigint DEFAULT '0'::bigint NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    CONSTRAINT ck_jobs_shards CHECK (((shards_left >= 0) AND (shards_left <= shards_total))),
    CONSTRAINT ck_jobs_state CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);
CREATE SEQUENCE public.jobs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.jobs_id_seq OWNED BY public.jobs.id;
CREATE TABLE public.left_out_images (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    stage text NOT NULL,
    reason text NOT NULL,
    worker text
);
CREATE TABLE public.networks (
    key character varying(64) NOT NULL,
    name text NOT NULL,
    description json NOT NULL
);
CREATE TABLE public.occlusion_jobs (
    job_id integer NOT NULL,
    contact_sheet_path text NOT NULL
);
CREATE TABLE public.occlusion_map_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    unit integer NOT NULL,
    clear_activation double precision NOT NULL,
    clear_probability double precision NOT NULL,
    clear_class text NOT NULL,
    positions integer NOT NULL,
    computed integer NOT NULL,
    error double precision,
    min_activation double precision NOT NULL,
    min_activation_row integer NOT NULL,
    min_activation_col integer NOT NULL,
    min_probability double precision NOT NULL,
    min_probability_row integer NOT NULL,
    min_probability_col integer NOT NULL,
    class_changes integer NOT NULL,
    correlation double precision,
    target_class text,
    clear_target_probability double precision,
    min_target_probability double precision,
    max_target_probability double precision,
    inside_probability double precision,
    outside_probability double precision,
    engine text NOT NULL,
    array_path text NOT NULL,
    projection_path text,
    patch_path text,
    picture_path text,
    CONSTRAINT ck_occlusion_map_rows_class_changes CHECK (((class_changes >= 0) AND (class_changes <= positions))),
    CONSTRAINT ck_occlusion_map_rows_positions CHECK (((positions >= 1) AND (computed >= 1) AND (computed <= positions)))
);
CREATE VIEW public.occlusion_maps AS
 SELECT m.job_id,
    m.image_id,
    i.path AS image_path,
    i.class_name,
    m.layer,
    m.unit,
    m.clear_activation,
    m.clear_probability,
    m.min_probability,
    m.min_probability_row,
    m.min_probability_col,
    m.array_path,
    m.picture_path,
    m.layer_path,
    m.clear_class,
    m.positions,
    m.computed,
    m.error,
    m.min_activation,
    m.min_activation_row,
    m.min_activation_col,
    m.class_changes,
    m.correlation,
    m.target_class,
    m.clear_target_probability,
    m.min_target_probability,
    m.max_target_probability,
    m.inside_probability,
    m.outside_probability,
    m.engine,
    m.projection_path,
    m.patch_path
   FROM (public.occlusion_map_rows m
     JOIN public.images i ON ((i.id = m.image_id)));
CREATE TABLE public.occlusion_position_rows (
    job_id integer NOT NULL,
    image_id integer NOT NULL,
    "row" integer NOT NULL,
    col integer NOT NULL,
    activation double precision NOT NULL,
    probability double precision NOT NULL,
    target_probability double precision,
    class_name text NOT NULL
);
CREATE VIEW public.occlusion_positions AS
 SELECT p.job_id,
    p.image_id,
    i.path AS image_path,
    i.class_name,
    p."row",
    p.col,
    p.activation,
    p.probability,
    p.target_probability,
    p.class_name AS answer_class
   FROM (public.occlusion_position_rows p
     JOIN public.images i ON ((i.id = p.image_id)));
CREATE TABLE public.probe_accuracy_rows (
    job_id integer NOT NULL,
    depth integer NOT NULL,
    classifier character varying(16) NOT NULL,
    trial integer NOT NULL,
    layer text NOT NULL,
    layer_path text NOT NULL,
    read_path text NOT NULL,
    features integer NOT NULL,
    pooling text,
    grid_rows integer,
    grid_cols integer,
    seed bigint NOT NULL,
    fold integer,
    train_images integer NOT NULL,
    test_images integer NOT NULL,
    classes integer NOT NULL,
    regularization double precision NOT NULL,
    held_out_accuracy double precision,
    train_accuracy double precision NOT NULL,
    accuracy double precision NOT NULL,
    class_accuracy double precision NOT NULL,
    chance double precision NOT NULL,
    majority double precision NOT NULL,
    converged boolean NOT NULL,
    shuffled_labels boolean NOT NULL,
    CONSTRAINT ck_probe_accuracy_rows_accuracy CHECK (((accuracy >= (0)::double precision) AND (accuracy <= (1)::double precision))),
    CONSTRAINT ck_probe_accuracy_rows_class_accuracy CHECK (((class_accuracy >= (0)::double precision) AND (class_accuracy <= (1)::double precision))),
    CONSTRAINT ck_probe_accuracy_rows_numbers CHECK (((depth >= 1) AND (trial >= 1)))
);
CREATE VIEW public.probe_accuracies AS
 SELECT job_id,
    layer,
    layer_path,
    depth,
    classifier,
    trial,
    seed,
    fold,
    features,
    pooling,
    grid_rows,
    grid_cols,
    train_images,
    test_images,
    classes,
    accuracy,
    class_accuracy,
    chance,
    majority,
    train_accuracy,
    held_out_accuracy,
    regularization,
    converged,
    shuffled_labels,
    read_path
   FROM public.probe_accuracy_rows;
CREATE TABLE public.probe_jobs (
    job_id integer NOT NULL,
    curve_path text NOT NULL
);
CREATE TABLE public.registered_networks (
    name text NOT NULL,
    factory_key character varying(64) NOT NULL,
    factory json NOT NULL,
    folder text,
    files json NOT NULL,
    image_size integer NOT NULL,
    mean json NOT NULL,
    std json NOT NULL,
    classes integer NOT NULL,
    added_at timestamp with time zone NOT NULL,
    replaced_at timestamp with time zone
);
CREATE TABLE public.removed_jobs (
    id integer NOT NULL,
    kind text NOT NULL,
    description text NOT NULL,
    dataset text NOT NULL,
    submitted_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.searched_layers_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.searched_layers_id_seq OWNED BY public.searched_layers.id;
CREATE TABLE public.searched_units (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    dead boolean NOT NULL,
    patches_path text,
    projections_path text,
    constant boolean,
    not_finite boolean
);
CREATE TABLE public.settled_unit_rows (
    layer_id integer NOT NULL,
    epoch integer NOT NULL,
    units integer NOT NULL,
    active integer NOT NULL,
    active_at_end integer NOT NULL,
    settled integer NOT NULL,
    CONSTRAINT ck_settled_unit_rows_active CHECK (((active >= 0) AND (active <= units))),
    CONSTRAINT ck_settled_unit_rows_settled CHECK (((settled >= 0) AND (settled <= active_at_end)))
);
CREATE VIEW public.settled_units AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    s.epoch,
    s.units,
    s.active,
    s.active_at_end,
    s.settled,
        CASE
            WHEN (s.active_at_end > 0) THEN ((1.0 * (s.settled)::numeric) / (s.active_at_end)::numeric)
            ELSE NULL::numeric
        END AS share
   FROM (public.settled_unit_rows s
     JOIN public.evolution_layers l ON ((l.id = s.layer_id)));
CREATE TABLE public.shards (
    id integer NOT NULL,
    job_id integer NOT NULL,
    stage integer NOT NULL,
    stage_name text NOT NULL,
    number integer NOT NULL,
    queue text NOT NULL,
    payload json NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    token text,
    lease_until double precision,
    sent_at double precision,
    worker text,
    work_done integer NOT NULL,
    work_total integer NOT NULL,
    result_path text,
    error text,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    paused_until double precision,
    CONSTRAINT ck_shards_attempt CHECK (((attempt >= 0) AND (attempt <= 3))),
    CONSTRAINT ck_shards_lease CHECK (((state = 'running'::text) = ((token IS NOT NULL) AND (lease_until IS NOT NULL)))),
    CONSTRAINT ck_shards_state CHECK ((state = ANY (ARRAY['waiting'::text, 'queued'::text, 'running'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);
CREATE SEQUENCE public.shards_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.shards_id_seq OWNED BY public.shards.id;
CREATE TABLE public.studies (
    id integer NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    source text NOT NULL,
    parameters json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.studies_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.studies_id_seq OWNED BY public.studies.id;
CREATE TABLE public.study_jobs (
    study_id integer NOT NULL,
    name text NOT NULL,
    number integer NOT NULL,
    entry text NOT NULL,
    labels json NOT NULL,
    job_id integer NOT NULL
);
CREATE TABLE public.top_activation_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    rank integer NOT NULL,
    activation double precision NOT NULL,
    image_id integer NOT NULL,
    "row" integer,
    col integer,
    patch_path text,
    projection_path text,
    projection_scale double precision,
    tied boolean,
    projection_empty text,
    projection_largest double precision,
    picture_left integer,
    picture_top integer,
    picture_right integer,
    picture_bottom integer,
    CONSTRAINT ck_top_activation_rows_rank CHECK ((rank >= 1)),
    CONSTRAINT ck_top_activation_rows_unit CHECK ((unit >= 0))
);
CREATE VIEW public.top_activations AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    t.unit,
    t.rank,
    t.activation,
    t.image_id,
    i.path AS image_path,
    i.class_name,
    t."row",
    t.col,
    t.patch_path,
    t.projection_path,
    t.projection_scale,
    t.tied,
    t.projection_empty,
    t.projection_largest,
    t.picture_left,
    t.picture_top,
    t.picture_right,
    t.picture_bottom,
    l.projection AS projection_method
   FROM ((public.top_activation_rows t
     JOIN public.searched_layers l ON ((l.id = t.layer_id)))
     JOIN public.images i ON ((i.id = t.image_id)));
CREATE TABLE public.training_runs (
    job_id integer NOT NULL,
    dataset_id integer NOT NULL,
    network_key character varying(64) NOT NULL,
    network text NOT NULL,
    epochs integer NOT NULL,
    best_epoch integer,
    best_accuracy double precision,
    curves_path text,
    confusion_path text,
    filters_path text,
    environment json
);
CREATE TABLE public.unit_evolution_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    epoch integer NOT NULL,
    state character varying(12) NOT NULL,
    activation double precision,
    image_id integer,
    "row" integer,
    col integer,
    tied boolean,
    patch_path text,
    projection_path text,
    projection_scale double precision,
    projection_empty text,
    CONSTRAINT ck_unit_evolution_rows_activation CHECK (((((state)::text = 'active'::text) = (activation IS NOT NULL)) AND (((state)::text = 'active'::text) = (image_id IS NOT NULL)))),
    CONSTRAINT ck_unit_evolution_rows_epoch CHECK ((epoch >= 1)),
    CONSTRAINT ck_unit_evolution_rows_state CHECK (((state)::text = ANY (ARRAY[('active'::character varying)::text, ('dead'::character varying)::text, ('constant'::character varying)::text, ('not finite'::character varying)::text])))
);
CREATE VIEW public.unit_evolution AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    e.unit,
    e.epoch,
    e.state,
    e.activation,
    e.image_id,
    i.path AS image_path,
    i.class_name,
    e."row",
    e.col,
    e.tied,
    u.settled_epoch,
    u.drawn,
    e.patch_path,
    e.projection_path,
    e.projection_scale,
    e.projection_empty
   FROM (((public.unit_evolution_rows e
     JOIN public.evolution_layers l ON ((l.id = e.layer_id)))
     JOIN public.evolution_units u ON (((u.layer_id = e.layer_id) AND (u.unit = e.unit))))
     LEFT JOIN public.images i ON ((i.id = e.image_id)));
CREATE TABLE public.unit_label_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    rank integer NOT NULL,
    label text NOT NULL,
    score double precision NOT NULL,
    similarities_sha256 character varying(64) NOT NULL,
    CONSTRAINT ck_unit_label_rows_rank CHECK ((rank >= 1))
);
CREATE VIEW public.unit_labels AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    s.unit,
    s.rank,
    s.label,
    s.score,
    s.similarities_sha256
   FROM (public.unit_label_rows s
     JOIN public.searched_layers l ON ((l.id = s.layer_id)));
CREATE TABLE public.unit_selectivity_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    class_rank integer NOT NULL,
    class_index integer NOT NULL,
    class_name text NOT NULL,
    auc double precision NOT NULL,
    precision_at_k double precision NOT NULL,
    k integer NOT NULL,
    CONSTRAINT ck_unit_selectivity_rows_auc CHECK (((auc >= (0)::double precision) AND (auc <= (1)::double precision))),
    CONSTRAINT ck_unit_selectivity_rows_class_rank CHECK ((class_rank >= 1)),
    CONSTRAINT ck_unit_selectivity_rows_k CHECK ((k >= 1)),
    CONSTRAINT ck_unit_selectivity_rows_precision CHECK (((precision_at_k >= (0)::double precision) AND (precision_at_k <= (1)::double precision)))
);
CREATE VIEW public.unit_selectivity AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    s.unit,
    s.class_rank,
    s.class_index,
    s.class_name,
    s.auc,
    s.precision_at_k,
    s.k
   FROM (public.unit_selectivity_rows s
     JOIN public.searched_layers l ON ((l.id = s.layer_id)));
CREATE TABLE public.unit_statistics_rows (
    layer_id integer NOT NULL,
    unit integer NOT NULL,
    images integer NOT NULL,
    mean double precision NOT NULL,
    minimum double precision NOT NULL,
    maximum double precision NOT NULL,
    fired_share double precision NOT NULL,
    q50 double precision NOT NULL,
    q90 double precision NOT NULL,
    q99 double precision NOT NULL,
    q999 double precision NOT NULL,
    histogram json NOT NULL,
    "precision" text DEFAULT 'float32'::text NOT NULL,
    CONSTRAINT ck_unit_statistics_rows_images CHECK ((images >= 1))
);
CREATE VIEW public.unit_statistics AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    s.unit,
    s.images,
    s.mean,
    s.minimum,
    s.maximum,
    s.fired_share,
    s.q50,
    s.q90,
    s.q99,
    s.q999,
    s.histogram,
    s."precision"
   FROM (public.unit_statistics_rows s
     JOIN public.searched_layers l ON ((l.id = s.layer_id)));
CREATE VIEW public.units AS
 SELECT l.job_id,
    l.layer,
    l.layer_path,
    u.unit,
    u.dead,
    u.patches_path,
    u.projections_path,
    u.constant,
    u.not_finite,
    s.class_name AS best_class,
    s.auc AS best_class_auc,
    s.precision_at_k AS best_class_precision,
    l.maxima_path
   FROM ((public.searched_units u
     JOIN public.searched_layers l ON ((l.id = u.layer_id)))
     LEFT JOIN public.unit_selectivity_rows s ON (((s.layer_id = u.layer_id) AND (s.unit = u.unit) AND (s.class_rank = 1))));
CREATE TABLE public.workers (
    name text NOT NULL,
    device text NOT NULL,
    queues json NOT NULL,
    pid integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at double precision NOT NULL,
    problem text,
    memory_used bigint,
    memory_total bigint
);
ALTER TABLE ONLY public.dataset_problems ALTER COLUMN id SET DEFAULT nextval('public.dataset_problems_id_seq'::regclass);
ALTER TABLE ONLY public.datasets ALTER COLUMN id SET DEFAULT nextval('public.datasets_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.evolution_layers ALTER COLUMN id SET DEFAULT nextval('public.evolution_layers_id_seq'::regclass);
ALTER TABLE ONLY public.images ALTER COLUMN id SET DEFAULT nextval('public.images_id_seq'::regclass);
ALTER TABLE ONLY public.jobs ALTER COLUMN id SET DEFAULT nextval('public.jobs_id_seq'::regclass);
ALTER TABLE ONLY public.searched_layers ALTER COLUMN id SET DEFAULT nextval('public.searched_layers_id_seq'::regclass);
ALTER TABLE ONLY public.shards ALTER COLUMN id SET DEFAULT nextval('public.shards_id_seq'::regclass);
ALTER TABLE ONLY public.studies ALTER COLUMN id SET DEFAULT nextval('public.studies_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0021');
INSERT INTO public.answers VALUES (1, 0, 15, 'striped-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 1, 15, 'checked-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 2, 15, 'dotted-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 3, 15, 'plain-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 4, 15, 'striped-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 5, 15, 'checked-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 6, 15, 'dotted-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 7, 15, 'plain-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 8, 15, 'striped-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 9, 15, 'checked-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 10, 15, 'dotted-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 11, 15, 'plain-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 12, 15, 'striped-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 13, 15, 'checked-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 14, 15, 'dotted-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 15, 15, 'plain-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 16, 15, 'striped-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 17, 15, 'checked-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 18, 15, 'dotted-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (1, 19, 15, 'plain-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 0, 15, 'striped-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 1, 15, 'checked-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 2, 15, 'dotted-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 3, 15, 'plain-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 4, 15, 'striped-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 5, 15, 'checked-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 6, 15, 'dotted-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 7, 15, 'plain-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 8, 15, 'striped-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 9, 15, 'checked-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 10, 15, 'dotted-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 11, 15, 'plain-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 12, 15, 'striped-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 13, 15, 'checked-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 14, 15, 'dotted-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 15, 15, 'plain-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 16, 15, 'striped-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 17, 15, 'checked-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 18, 15, 'dotted-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (4, 19, 15, 'plain-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 0, 15, 'striped-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 1, 15, 'checked-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 2, 15, 'dotted-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 3, 15, 'plain-circle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 4, 15, 'striped-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 5, 15, 'checked-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 6, 15, 'dotted-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 7, 15, 'plain-square', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 8, 15, 'striped-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 9, 15, 'checked-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 10, 15, 'dotted-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 11, 15, 'plain-triangle', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 12, 15, 'striped-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 13, 15, 'checked-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 14, 15, 'dotted-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 15, 15, 'plain-star', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 16, 15, 'striped-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 17, 15, 'checked-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 18, 15, 'dotted-cross', 'plain-star', 1);
INSERT INTO public.answers VALUES (6, 19, 15, 'plain-cross', 'plain-star', 1);
INSERT INTO public.artifacts VALUES ('b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168, 1, '2026-11-22 14:27:57.210465+00');
INSERT INTO public.artifacts VALUES ('f2/f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718.safetensors', 'f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718', 10417168, 1, '2026-11-22 14:27:57.934023+00');
INSERT INTO public.artifacts VALUES ('39/392dc9b524f0286d29b648ca61cc2503a92df169351763473b6943c660f3df13.png', '392dc9b524f0286d29b648ca61cc2503a92df169351763473b6943c660f3df13', 119596, 1, '2026-11-22 14:28:00.074337+00');
INSERT INTO public.artifacts VALUES ('5d/5d9f0d5b188a792a00bd2d80cd53765faa2ac442a8d85f864accf7553e7bc2b6.png', '5d9f0d5b188a792a00bd2d80cd53765faa2ac442a8d85f864accf7553e7bc2b6', 50249, 1, '2026-11-22 14:28:00.074348+00');
INSERT INTO public.artifacts VALUES ('73/736ef4ffdbc08e15caac0035af460522b1e9b027c276342161d0bb089677d4b0.png', '736ef4ffdbc08e15caac0035af460522b1e9b027c276342161d0bb089677d4b0', 39549, 1, '2026-11-22 14:28:00.074349+00');
INSERT INTO public.artifacts VALUES ('b2/b2ac3190a5d216071e9be778a6d030de6ca4ef48aeaf915d6c6921560d32ff59.npz', 'b2ac3190a5d216071e9be778a6d030de6ca4ef48aeaf915d6c6921560d32ff59', 32016, 2, '2026-11-22 14:28:04.930374+00');
INSERT INTO public.artifacts VALUES ('17/1724931c7e693cb9e0dc9804f139da228304f63c9429fb4724cfa096acf0ee61.npz', '1724931c7e693cb9e0dc9804f139da228304f63c9429fb4724cfa096acf0ee61', 3934, 2, '2026-11-22 14:28:05.332383+00');
INSERT INTO public.artifacts VALUES ('11/111c7bf1bebac022addc2d769cecd2b9881690d5c75a5e5fc73dfb1bce00be30.png', '111c7bf1bebac022addc2d769cecd2b9881690d5c75a5e5fc73dfb1bce00be30', 204, 2, '2026-11-22 14:28:05.938943+00');
INSERT INTO public.artifacts VALUES ('24/24c070ea045fce781281747321b88a79870004684006d0179cda25a2cff5eff3.png', '24c070ea045fce781281747321b88a79870004684006d0179cda25a2cff5eff3', 157, 2, '2026-11-22 14:28:05.93895+00');
INSERT INTO public.artifacts VALUES ('2a/2adbfb4b3b26fd00e6ffee1919af6d1f8e3f2e3f0da52f1a7361b9a316f2f114.png', '2adbfb4b3b26fd00e6ffee1919af6d1f8e3f2e3f0da52f1a7361b9a316f2f114', 1906, 2, '2026-11-22 14:28:05.93895+00');
INSERT INTO public.artifacts VALUES ('45/4546160c324ce587c188ad5a17d113616c0fe505559659c8cc05c539a1697ba1.png', '4546160c324ce587c188ad5a17d113616c0fe505559659c8cc05c539a1697ba1', 3107, 2, '2026-11-22 14:28:05.938951+00');
INSERT INTO public.artifacts VALUES ('9e/9e10d0db5ed55aae59fc50a50a75d0b691103b9f93f05ef7c1aa4ee238538d4a.png', '9e10d0db5ed55aae59fc50a50a75d0b691103b9f93f05ef7c1aa4ee238538d4a', 195, 2, '2026-11-22 14:28:05.938952+00');
INSERT INTO public.artifacts VALUES ('ab/abd47fc149d99a6d209d786143629038aa901dddd6708715349d57521502a49d.png', 'abd47fc149d99a6d209d786143629038aa901dddd6708715349d57521502a49d', 216, 2, '2026-11-22 14:28:05.938952+00');
INSERT INTO public.artifacts VALUES ('cb/cbda35db778cbe9bd8bc37b614343bec3e8755af93643cb75304fc862b40d8b4.png', 'cbda35db778cbe9bd8bc37b614343bec3e8755af93643cb75304fc862b40d8b4', 198, 2, '2026-11-22 14:28:05.938953+00');
INSERT INTO public.artifacts VALUES ('de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 'de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61', 222, 2, '2026-11-22 14:28:05.938953+00');
INSERT INTO public.artifacts VALUES ('e8/e8622bfc0d9295dc3f8388a88cdc79a58c8f60a866fb5b43a0b646cb62dafeb9.png', 'e8622bfc0d9295dc3f8388a88cdc79a58c8f60a866fb5b43a0b646cb62dafeb9', 166, 2, '2026-11-22 14:28:05.938954+00');
INSERT INTO public.artifacts VALUES ('ea/eabc5f383ca74be845aa4f8d64fb44db693bfe5084ea90d5bed5891c2b081b0c.png', 'eabc5f383ca74be845aa4f8d64fb44db693bfe5084ea90d5bed5891c2b081b0c', 222, 2, '2026-11-22 14:28:05.938954+00');
INSERT INTO public.artifacts VALUES ('ec/ec1bfbecdee56d57333e5d4b3051bb81673460325f1a9d6d2e068923f473d5af.png', 'ec1bfbecdee56d57333e5d4b3051bb81673460325f1a9d6d2e068923f473d5af', 222, 2, '2026-11-22 14:28:05.938955+00');
INSERT INTO public.artifacts VALUES ('fc/fc2a54b981f2449f56058090b1cf51bdde83d7eb5ba746b2d7a072fa4b4c5258.png', 'fc2a54b981f2449f56058090b1cf51bdde83d7eb5ba746b2d7a072fa4b4c5258', 218, 2, '2026-11-22 14:28:05.938955+00');
INSERT INTO public.artifacts VALUES ('05/051419b78f5366f5e7f498b61a66b2dea8d21402c294464e41daa5f65da0fe15.png', '051419b78f5366f5e7f498b61a66b2dea8d21402c294464e41daa5f65da0fe15', 1925, 2, '2026-11-22 14:28:06.530406+00');
INSERT INTO public.artifacts VALUES ('13/13b8a24e278cf751153f18749ba30829926c520d84ef60e4438a293416e7bc6b.png', '13b8a24e278cf751153f18749ba30829926c520d84ef60e4438a293416e7bc6b', 203, 2, '2026-11-22 14:28:06.530417+00');
INSERT INTO public.artifacts VALUES ('20/202755bfbebc4071cc9d97f79320ed2d9c28e9889d76a3f76c3c7786a6ac9595.png', '202755bfbebc4071cc9d97f79320ed2d9c28e9889d76a3f76c3c7786a6ac9595', 200, 2, '2026-11-22 14:28:06.530418+00');
INSERT INTO public.artifacts VALUES ('26/26b01cc34fcee24c7b4fc343eb6bfecbeb109dc004712678dec6b94b603c0faa.png', '26b01cc34fcee24c7b4fc343eb6bfecbeb109dc004712678dec6b94b603c0faa', 222, 2, '2026-11-22 14:28:06.530418+00');
INSERT INTO public.artifacts VALUES ('2f/2f7d7a7070ef5eab376eca0730f2f63bd77be7a67aecea468b16460c35a901b0.png', '2f7d7a7070ef5eab376eca0730f2f63bd77be7a67aecea468b16460c35a901b0', 214, 2, '2026-11-22 14:28:06.530419+00');
INSERT INTO public.artifacts VALUES ('30/30e838c29b5846333deffbc7891a6b999ac66fe8ad1ae31d764b2af4c56f8614.png', '30e838c29b5846333deffbc7891a6b999ac66fe8ad1ae31d764b2af4c56f8614', 3235, 2, '2026-11-22 14:28:06.53042+00');
INSERT INTO public.artifacts VALUES ('39/39a6b763c8f1ee3e7ed63c79de82884e2b2d99eb8c4d4abef270e579a0911181.png', '39a6b763c8f1ee3e7ed63c79de82884e2b2d99eb8c4d4abef270e579a0911181', 214, 2, '2026-11-22 14:28:06.53042+00');
INSERT INTO public.artifacts VALUES ('41/417a24781ca13eb4a90e2fb3c5e2d045e3069d5bbb503ab3ee41508a0e2e2708.png', '417a24781ca13eb4a90e2fb3c5e2d045e3069d5bbb503ab3ee41508a0e2e2708', 222, 2, '2026-11-22 14:28:06.530421+00');
INSERT INTO public.artifacts VALUES ('4c/4cd54bdaaba82aad1697bd344c2ca3998192fe7f10b4940c2cc761db75473308.png', '4cd54bdaaba82aad1697bd344c2ca3998192fe7f10b4940c2cc761db75473308', 1866, 2, '2026-11-22 14:28:06.530421+00');
INSERT INTO public.artifacts VALUES ('6c/6c819513595a21bdae4c7e5829d989c28701835309166432ed56fb901cde8b32.png', '6c819513595a21bdae4c7e5829d989c28701835309166432ed56fb901cde8b32', 3199, 2, '2026-11-22 14:28:06.530422+00');
INSERT INTO public.artifacts VALUES ('73/7389f0edc6712f38b7a865a30e73f9b48fdcc6aec95e432c434f490aac41f562.png', '7389f0edc6712f38b7a865a30e73f9b48fdcc6aec95e432c434f490aac41f562', 209, 2, '2026-11-22 14:28:06.530422+00');
INSERT INTO public.artifacts VALUES ('8d/8d55f2aaeb41153a3aa71f4e723ba9ddaab34786b80fa5bd193f698695642d2d.png', '8d55f2aaeb41153a3aa71f4e723ba9ddaab34786b80fa5bd193f698695642d2d', 218, 2, '2026-11-22 14:28:06.530423+00');
INSERT INTO public.artifacts VALUES ('ab/aba894d73452bd1909dc1ec3076da4ffa5f8d86cd758a8ffa24fdde85bc6e447.png', 'aba894d73452bd1909dc1ec3076da4ffa5f8d86cd758a8ffa24fdde85bc6e447', 203, 2, '2026-11-22 14:28:06.530424+00');
INSERT INTO public.artifacts VALUES ('af/afdb5d5b48018a3afa5b8ba0a669d38c8cf7b56447bf68fc65a66917b6c7dd05.png', 'afdb5d5b48018a3afa5b8ba0a669d38c8cf7b56447bf68fc65a66917b6c7dd05', 220, 2, '2026-11-22 14:28:06.530424+00');
INSERT INTO public.artifacts VALUES ('b2/b280e45f21e2b1f3cf916f9530bfc407e6a48e184f17920d7bc643380d503131.png', 'b280e45f21e2b1f3cf916f9530bfc407e6a48e184f17920d7bc643380d503131', 222, 2, '2026-11-22 14:28:06.530424+00');
INSERT INTO public.artifacts VALUES ('bd/bdf3d6bb8fb3ef747b3ed92417da6207fbf224acf1fe226b3a3126ea750f8212.png', 'bdf3d6bb8fb3ef747b3ed92417da6207fbf224acf1fe226b3a3126ea750f8212', 197, 2, '2026-11-22 14:28:06.530425+00');
INSERT INTO public.artifacts VALUES ('be/be32503e749b2602e8fbadca647a1664745de6e33325c60b31a7d13112bc15d5.png', 'be32503e749b2602e8fbadca647a1664745de6e33325c60b31a7d13112bc15d5', 222, 2, '2026-11-22 14:28:06.530425+00');
INSERT INTO public.artifacts VALUES ('c8/c89b8aedcf238a634ee63f87babc4ceb012e55aece81fe560863579e0b2b5bcb.png', 'c89b8aedcf238a634ee63f87babc4ceb012e55aece81fe560863579e0b2b5bcb', 206, 2, '2026-11-22 14:28:06.530426+00');
INSERT INTO public.artifacts VALUES ('cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 'cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e', 222, 2, '2026-11-22 14:28:06.530426+00');
INSERT INTO public.artifacts VALUES ('e4/e4081f1afe8a1755282a03788a9b8d88b24e2646c3409606eef1866a5c05fbfc.png', 'e4081f1afe8a1755282a03788a9b8d88b24e2646c3409606eef1866a5c05fbfc', 212, 2, '2026-11-22 14:28:06.530427+00');
INSERT INTO public.artifacts VALUES ('ed/ed6d2cf22d080f68c7673ca4a90d30146960a54d8ae24b5aec19699b9b69c24b.png', 'ed6d2cf22d080f68c7673ca4a90d30146960a54d8ae24b5aec19699b9b69c24b', 213, 2, '2026-11-22 14:28:06.530428+00');
INSERT INTO public.artifacts VALUES ('fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 'faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea', 222, 2, '2026-11-22 14:28:06.530428+00');
INSERT INTO public.artifacts VALUES ('fc/fcdfc2041896a9d1b24ca483aa43beb81bd9b7a9c2b93573e45ee0a9c4f6dfc9.png', 'fcdfc2041896a9d1b24ca483aa43beb81bd9b7a9c2b93573e45ee0a9c4f6dfc9', 222, 2, '2026-11-22 14:28:06.530429+00');
INSERT INTO public.artifacts VALUES ('fe/fe86354031dd301bf7b7bfb3582562868364b6fb4da50dbffc51e42496327779.png', 'fe86354031dd301bf7b7bfb3582562868364b6fb4da50dbffc51e42496327779', 222, 2, '2026-11-22 14:28:06.530429+00');
INSERT INTO public.artifacts VALUES ('0a/0a5e4a1824686350630422a80ad76ae36217332ec4588ae99f7ad70ed6c6bdab.png', '0a5e4a1824686350630422a80ad76ae36217332ec4588ae99f7ad70ed6c6bdab', 9736, 2, '2026-11-22 14:28:08.564059+00');
INSERT INTO public.artifacts VALUES ('21/21b2f47aadbe67cdd09efbf5c66b012eadee5171db3ba0ea493559616f52f1b7.png', '21b2f47aadbe67cdd09efbf5c66b012eadee5171db3ba0ea493559616f52f1b7', 10155, 2, '2026-11-22 14:28:08.56407+00');
INSERT INTO public.artifacts VALUES ('22/2285dbd3a853c0353dbc073ee94e51ca89a705b4e1621506f4b568ba83de754f.png', '2285dbd3a853c0353dbc073ee94e51ca89a705b4e1621506f4b568ba83de754f', 10342, 2, '2026-11-22 14:28:08.564072+00');
INSERT INTO public.artifacts VALUES ('41/4172c6bae646020f219376db78ea71888dda3bff6dba6fb8dc6e27d849880d89.png', '4172c6bae646020f219376db78ea71888dda3bff6dba6fb8dc6e27d849880d89', 11025, 2, '2026-11-22 14:28:08.564072+00');
INSERT INTO public.artifacts VALUES ('4f/4f67d6675a79c678c9eec5343b4a3ba83617f5ac64a99efb45ff0ab80f7ba691.png', '4f67d6675a79c678c9eec5343b4a3ba83617f5ac64a99efb45ff0ab80f7ba691', 78179, 2, '2026-11-22 14:28:08.564073+00');
INSERT INTO public.artifacts VALUES ('52/52d3be30028aecee4aaec22d34c38c350f91e92b867fa4c18bcd0c9282bd6dbe.png', '52d3be30028aecee4aaec22d34c38c350f91e92b867fa4c18bcd0c9282bd6dbe', 8683, 2, '2026-11-22 14:28:08.564073+00');
INSERT INTO public.artifacts VALUES ('54/54e5712f5aa95e6ab47d173450e3bee894fff03b985453651b2ee47706de6ac0.png', '54e5712f5aa95e6ab47d173450e3bee894fff03b985453651b2ee47706de6ac0', 93709, 2, '2026-11-22 14:28:08.564074+00');
INSERT INTO public.artifacts VALUES ('75/754a17fb1af54ff49c4201ce0c4d2e349069f1550e407f01a9d699084c989ca4.png', '754a17fb1af54ff49c4201ce0c4d2e349069f1550e407f01a9d699084c989ca4', 8529, 2, '2026-11-22 14:28:08.564075+00');
INSERT INTO public.artifacts VALUES ('8e/8e47e59344e93553040c2fe47d2f2b5d7f4ba6ed42032de28c8fcaaa20a63790.png', '8e47e59344e93553040c2fe47d2f2b5d7f4ba6ed42032de28c8fcaaa20a63790', 8804, 2, '2026-11-22 14:28:08.564075+00');
INSERT INTO public.artifacts VALUES ('9f/9f7662e4429d846fe3b41929f6ef61c1af1e04751960e459467387a58da0225c.png', '9f7662e4429d846fe3b41929f6ef61c1af1e04751960e459467387a58da0225c', 10911, 2, '2026-11-22 14:28:08.564076+00');
INSERT INTO public.artifacts VALUES ('af/afc9bacdd30a90323c8e86597602fc890643ffe1667ad6059ff8218299d1fd1f.png', 'afc9bacdd30a90323c8e86597602fc890643ffe1667ad6059ff8218299d1fd1f', 8981, 2, '2026-11-22 14:28:08.564076+00');
INSERT INTO public.artifacts VALUES ('b3/b39ecc478e7236ecd8f54860b58a833b26ec8292d9a0702e1f4ec49866e3de8d.png', 'b39ecc478e7236ecd8f54860b58a833b26ec8292d9a0702e1f4ec49866e3de8d', 9653, 2, '2026-11-22 14:28:08.564077+00');
INSERT INTO public.artifacts VALUES ('be/bebfcb9d4851713cd4b2a604d7e69a4126df774c7a13ad7bc8e3c1b157316f4e.png', 'bebfcb9d4851713cd4b2a604d7e69a4126df774c7a13ad7bc8e3c1b157316f4e', 8573, 2, '2026-11-22 14:28:08.564077+00');
INSERT INTO public.artifacts VALUES ('c2/c26c51f29019757aaf38148b041fd995872144c079af0f4aba026975753f58b7.png', 'c26c51f29019757aaf38148b041fd995872144c079af0f4aba026975753f58b7', 11186, 2, '2026-11-22 14:28:08.564078+00');
INSERT INTO public.artifacts VALUES ('ca/caec6d7e9e77caee4bd2c9fc766c7258dc8015ce0f2bf725e43733db3e050c78.png', 'caec6d7e9e77caee4bd2c9fc766c7258dc8015ce0f2bf725e43733db3e050c78', 10715, 2, '2026-11-22 14:28:08.564079+00');
INSERT INTO public.artifacts VALUES ('ce/ce33b2f8dd954008f7fe236d3cb0779af9a64b05018b65267b03356751b5fbda.png', 'ce33b2f8dd954008f7fe236d3cb0779af9a64b05018b65267b03356751b5fbda', 10447, 2, '2026-11-22 14:28:08.564079+00');
INSERT INTO public.artifacts VALUES ('d4/d495efe614e799a4aa12b05fba50d1d32dfdedfdc69ea0e4720eaaea5ba3de87.png', 'd495efe614e799a4aa12b05fba50d1d32dfdedfdc69ea0e4720eaaea5ba3de87', 8340, 2, '2026-11-22 14:28:08.56408+00');
INSERT INTO public.artifacts VALUES ('f1/f165719d6fb97fedb0b5c96e33d030eb804fe8606e6863c8d59cbeb407095da9.png', 'f165719d6fb97fedb0b5c96e33d030eb804fe8606e6863c8d59cbeb407095da9', 8851, 2, '2026-11-22 14:28:08.564082+00');
INSERT INTO public.artifacts VALUES ('f7/f789cb588d33b1e0cb44a83893a46389ac8ad62a0a454dfb157b90aac718cfbc.png', 'f789cb588d33b1e0cb44a83893a46389ac8ad62a0a454dfb157b90aac718cfbc', 10508, 2, '2026-11-22 14:28:08.564083+00');
INSERT INTO public.artifacts VALUES ('f9/f90ebc47f2ec5e96120e995fe718906ffff238c5538f7118930edc4e5b156148.png', 'f90ebc47f2ec5e96120e995fe718906ffff238c5538f7118930edc4e5b156148', 10694, 2, '2026-11-22 14:28:08.564083+00');
INSERT INTO public.artifacts VALUES ('01/015a5f9c6d66166f32200e4074a2a6b08ef7ce63cf68fe728840c0e4b4fffc32.png', '015a5f9c6d66166f32200e4074a2a6b08ef7ce63cf68fe728840c0e4b4fffc32', 8340, 3, '2026-11-22 14:28:14.549518+00');
INSERT INTO public.artifacts VALUES ('1c/1c45dedf07a736bc93bbe7cf4d206cc1bab030c2360421872573e0009c78bc72.png', '1c45dedf07a736bc93bbe7cf4d206cc1bab030c2360421872573e0009c78bc72', 11095, 3, '2026-11-22 14:28:14.549531+00');
INSERT INTO public.artifacts VALUES ('26/260cb0e34e410bff8a9c9b711e5a0c014c85b4b241be4ce3a08f51864139fe3b.npz', '260cb0e34e410bff8a9c9b711e5a0c014c85b4b241be4ce3a08f51864139fe3b', 2998, 3, '2026-11-22 14:28:14.549533+00');
INSERT INTO public.artifacts VALUES ('34/34de8cf092ae55c8842dc9c9d863d96cbc2255d5c2fd6b9f831b03316064329a.png', '34de8cf092ae55c8842dc9c9d863d96cbc2255d5c2fd6b9f831b03316064329a', 10289, 3, '2026-11-22 14:28:14.549533+00');
INSERT INTO public.artifacts VALUES ('7c/7c017cffea89e97dbced75181ca19718c7a65fcb11a4f44157a3dc270c1c69e3.npz', '7c017cffea89e97dbced75181ca19718c7a65fcb11a4f44157a3dc270c1c69e3', 2998, 3, '2026-11-22 14:28:14.549534+00');
INSERT INTO public.artifacts VALUES ('a2/a2e263a6bedf6a19b79a2f70232dcbd1309b06dd71de6fdd6e7181eca5260eae.png', 'a2e263a6bedf6a19b79a2f70232dcbd1309b06dd71de6fdd6e7181eca5260eae', 9735, 3, '2026-11-22 14:28:14.549535+00');
INSERT INTO public.artifacts VALUES ('0f/0fce31e580b8faf573927a45d68a37d1da25cc940ddb4a70ecbe0406ae146e11.npz', '0fce31e580b8faf573927a45d68a37d1da25cc940ddb4a70ecbe0406ae146e11', 228620, 3, '2026-11-22 14:28:16.126393+00');
INSERT INTO public.artifacts VALUES ('8d/8d63ca3d1f620d606de6e236ee4ab116ddd669c53ab4b591986fe9fe56052ae5.png', '8d63ca3d1f620d606de6e236ee4ab116ddd669c53ab4b591986fe9fe56052ae5', 171772, 3, '2026-11-22 14:28:16.126402+00');
INSERT INTO public.artifacts VALUES ('ca/ca08260507a87178b8d5eca58bf4f518585e2703ea80dd6e6d7c0ce20949fbc3.png', 'ca08260507a87178b8d5eca58bf4f518585e2703ea80dd6e6d7c0ce20949fbc3', 159612, 3, '2026-11-22 14:28:16.126403+00');
INSERT INTO public.artifacts VALUES ('f5/f520a66fa3dbc34c0ea46186f4a66a519812b3f7c20c49e66bd2c11ad6a0163a.safetensors', 'f520a66fa3dbc34c0ea46186f4a66a519812b3f7c20c49e66bd2c11ad6a0163a', 10417168, 4, '2026-11-22 14:28:21.402595+00');
INSERT INTO public.artifacts VALUES ('19/197401c1bede5af5f106e7687fc2a56447f51071ba28795a9f4347d88bf79c25.png', '197401c1bede5af5f106e7687fc2a56447f51071ba28795a9f4347d88bf79c25', 40992, 4, '2026-11-22 14:28:23.218321+00');
INSERT INTO public.artifacts VALUES ('6f/6f2954c1c580d08f9e614158c5155b877cd263a9d64b55ef246d77f3fd63085d.png', '6f2954c1c580d08f9e614158c5155b877cd263a9d64b55ef246d77f3fd63085d', 50352, 4, '2026-11-22 14:28:23.218335+00');
INSERT INTO public.artifacts VALUES ('c3/c3891751fb722362735b0457eba70e67d76dde366e8742b1a63c298db55f7e99.png', 'c3891751fb722362735b0457eba70e67d76dde366e8742b1a63c298db55f7e99', 119838, 4, '2026-11-22 14:28:23.218336+00');
INSERT INTO public.artifacts VALUES ('01/01ffae79717f5cd1b9049c1e9c90931749a537f285def182c55de22a27ece80a.png', '01ffae79717f5cd1b9049c1e9c90931749a537f285def182c55de22a27ece80a', 10577, 2, '2026-11-22 14:28:10.375928+00');
INSERT INTO public.artifacts VALUES ('08/089ff6efb63bdbd490f396e6bf3c08f9a7395bea3c5292d99bcddced37a8c475.png', '089ff6efb63bdbd490f396e6bf3c08f9a7395bea3c5292d99bcddced37a8c475', 11261, 2, '2026-11-22 14:28:10.375938+00');
INSERT INTO public.artifacts VALUES ('09/098dee69c1235f3496e7b4f51639098174897f73a76251b971d2172c8a91c2ab.png', '098dee69c1235f3496e7b4f51639098174897f73a76251b971d2172c8a91c2ab', 9553, 2, '2026-11-22 14:28:10.375939+00');
INSERT INTO public.artifacts VALUES ('0c/0c86b88638f9882c1da73345daf182f94f37b7f8bc7be38541abb5d08e6f7cde.png', '0c86b88638f9882c1da73345daf182f94f37b7f8bc7be38541abb5d08e6f7cde', 9655, 2, '2026-11-22 14:28:10.37594+00');
INSERT INTO public.artifacts VALUES ('15/1572798f541c568f55c94179491dfacbdb99aeb30b4d1afe261b9899e726f6c0.png', '1572798f541c568f55c94179491dfacbdb99aeb30b4d1afe261b9899e726f6c0', 10825, 2, '2026-11-22 14:28:10.37594+00');
INSERT INTO public.artifacts VALUES ('16/16caa49bb55044a5913984afc1bb599d15a1a53c8181a1068ca3c6db2c5fc348.png', '16caa49bb55044a5913984afc1bb599d15a1a53c8181a1068ca3c6db2c5fc348', 5765, 2, '2026-11-22 14:28:10.375941+00');
INSERT INTO public.artifacts VALUES ('1a/1a00d2e23e64c5ec7b3bec882e2c3fafcaec909b0e2ce548633b38db3665d555.png', '1a00d2e23e64c5ec7b3bec882e2c3fafcaec909b0e2ce548633b38db3665d555', 11131, 2, '2026-11-22 14:28:10.375942+00');
INSERT INTO public.artifacts VALUES ('2b/2b214d80048c5f20f5cc00cb2a789f324b217b71dabf30f1abe99edfea878f27.png', '2b214d80048c5f20f5cc00cb2a789f324b217b71dabf30f1abe99edfea878f27', 10642, 2, '2026-11-22 14:28:10.375942+00');
INSERT INTO public.artifacts VALUES ('2f/2fde2801f8ba461f7c088cdaed0d274bd06e9cc849a9b57137ef99b587676a80.png', '2fde2801f8ba461f7c088cdaed0d274bd06e9cc849a9b57137ef99b587676a80', 11316, 2, '2026-11-22 14:28:10.375943+00');
INSERT INTO public.artifacts VALUES ('3a/3a0e5337f5ddde2f01123ca106b6ea81bcce2347071923da197ca4ad6f3759ed.png', '3a0e5337f5ddde2f01123ca106b6ea81bcce2347071923da197ca4ad6f3759ed', 8340, 2, '2026-11-22 14:28:10.375944+00');
INSERT INTO public.artifacts VALUES ('3b/3b2b0dec71053cf0862dc472f80e61f519360c20b90542472fd39211ab8cb763.png', '3b2b0dec71053cf0862dc472f80e61f519360c20b90542472fd39211ab8cb763', 10738, 2, '2026-11-22 14:28:10.375945+00');
INSERT INTO public.artifacts VALUES ('40/40840a76aa731d1d9864eb77cd73e8b8f89d0bb3f86a723cbbd040888e42d761.png', '40840a76aa731d1d9864eb77cd73e8b8f89d0bb3f86a723cbbd040888e42d761', 7165, 2, '2026-11-22 14:28:10.375945+00');
INSERT INTO public.artifacts VALUES ('45/451625ee81a19e580b60ddda9870967d42e715eccc0c5230f18517e8113ac937.png', '451625ee81a19e580b60ddda9870967d42e715eccc0c5230f18517e8113ac937', 8575, 2, '2026-11-22 14:28:10.375946+00');
INSERT INTO public.artifacts VALUES ('61/61b3c7405b6bf98c30241b1b98db820b696e8428dc2b55c15dc014e347765a6e.png', '61b3c7405b6bf98c30241b1b98db820b696e8428dc2b55c15dc014e347765a6e', 8786, 2, '2026-11-22 14:28:10.375946+00');
INSERT INTO public.artifacts VALUES ('6c/6cf937caccb4be4b207131310deecf0d7a05ee5ff2784acab46bd7f352a47e99.png', '6cf937caccb4be4b207131310deecf0d7a05ee5ff2784acab46bd7f352a47e99', 71446, 2, '2026-11-22 14:28:10.375947+00');
INSERT INTO public.artifacts VALUES ('71/714e6795d75d4e19846599755900d03b5da93d6a1c983f7462b9a739eed27297.png', '714e6795d75d4e19846599755900d03b5da93d6a1c983f7462b9a739eed27297', 8851, 2, '2026-11-22 14:28:10.375948+00');
INSERT INTO public.artifacts VALUES ('72/72ae79033ab597d24d8e64ab1b34ff8fcce0f7ed63cbaa9aea32b539eaeebb8f.png', '72ae79033ab597d24d8e64ab1b34ff8fcce0f7ed63cbaa9aea32b539eaeebb8f', 10811, 2, '2026-11-22 14:28:10.375948+00');
INSERT INTO public.artifacts VALUES ('73/7328a607413e627eace13e681eb0a127c04e6ddd71f6543bf29c9c715c3cbcff.png', '7328a607413e627eace13e681eb0a127c04e6ddd71f6543bf29c9c715c3cbcff', 10648, 2, '2026-11-22 14:28:10.375949+00');
INSERT INTO public.artifacts VALUES ('74/7463e79629e8235808dbd317322be81d73cf97dc9a1e1b1964573dd98248ab83.png', '7463e79629e8235808dbd317322be81d73cf97dc9a1e1b1964573dd98248ab83', 10546, 2, '2026-11-22 14:28:10.37595+00');
INSERT INTO public.artifacts VALUES ('75/75334fa035d95d0b82cbdb81834da0c0ff1467b989ba7358f2a7dc0379cf0d2f.png', '75334fa035d95d0b82cbdb81834da0c0ff1467b989ba7358f2a7dc0379cf0d2f', 8952, 2, '2026-11-22 14:28:10.375951+00');
INSERT INTO public.artifacts VALUES ('7c/7c770fb76da0645fd2c9e0ce0bb33a75d86f70fe3a2f8e7d011c8e58106da69b.png', '7c770fb76da0645fd2c9e0ce0bb33a75d86f70fe3a2f8e7d011c8e58106da69b', 9734, 2, '2026-11-22 14:28:10.375951+00');
INSERT INTO public.artifacts VALUES ('8f/8f32110e165868bf2fb94af0444e2dd8bf950a291a7a6ce59569967946118523.png', '8f32110e165868bf2fb94af0444e2dd8bf950a291a7a6ce59569967946118523', 9718, 2, '2026-11-22 14:28:10.375952+00');
INSERT INTO public.artifacts VALUES ('9c/9c918f7baf64761d9873cfc2d8486e9a6dea8ae7c1dd29845eaf95a4d00c01c7.png', '9c918f7baf64761d9873cfc2d8486e9a6dea8ae7c1dd29845eaf95a4d00c01c7', 10723, 2, '2026-11-22 14:28:10.375952+00');
INSERT INTO public.artifacts VALUES ('9f/9f3e32c20e103dcaade138214370ad4034d75ae61977ba902715d3db5fc28271.png', '9f3e32c20e103dcaade138214370ad4034d75ae61977ba902715d3db5fc28271', 10729, 2, '2026-11-22 14:28:10.375953+00');
INSERT INTO public.artifacts VALUES ('a4/a47cb587f2d391c47331bbb6963865b52a077de76e93c02b691492a9ce61de19.png', 'a47cb587f2d391c47331bbb6963865b52a077de76e93c02b691492a9ce61de19', 10798, 2, '2026-11-22 14:28:10.375953+00');
INSERT INTO public.artifacts VALUES ('a6/a606272d9769cccf02832bcd926b7bdf8f175ccb19e3751c848e5ba4f7410f73.png', 'a606272d9769cccf02832bcd926b7bdf8f175ccb19e3751c848e5ba4f7410f73', 10621, 2, '2026-11-22 14:28:10.375955+00');
INSERT INTO public.artifacts VALUES ('ad/ad7f5f9c12971c99a9b2744951bc70ffc7f6505b8ce699ccd46f8b6735db0126.png', 'ad7f5f9c12971c99a9b2744951bc70ffc7f6505b8ce699ccd46f8b6735db0126', 94701, 2, '2026-11-22 14:28:10.375955+00');
INSERT INTO public.artifacts VALUES ('b3/b36d41e397689c4e34f8d664a6e721f37d9d1e93a9b70345bcb3e1e97a809f9d.png', 'b36d41e397689c4e34f8d664a6e721f37d9d1e93a9b70345bcb3e1e97a809f9d', 11096, 2, '2026-11-22 14:28:10.375956+00');
INSERT INTO public.artifacts VALUES ('b7/b74c8f2881b2a6cfc549eca62be70b6a60ad88436a52c0aee89fcaba1bd2bf5c.png', 'b74c8f2881b2a6cfc549eca62be70b6a60ad88436a52c0aee89fcaba1bd2bf5c', 10374, 2, '2026-11-22 14:28:10.375957+00');
INSERT INTO public.artifacts VALUES ('be/be8a32a26ae7f25da823ac66002d2b525ffdfb2cc2d4ba0d41d044d4757ebdbc.png', 'be8a32a26ae7f25da823ac66002d2b525ffdfb2cc2d4ba0d41d044d4757ebdbc', 8804, 2, '2026-11-22 14:28:10.375958+00');
INSERT INTO public.artifacts VALUES ('c5/c55ba3ae991f6f6d4396e94ee949dd24be5b3a8213fec57ff3b1dc66b014a6a6.png', 'c55ba3ae991f6f6d4396e94ee949dd24be5b3a8213fec57ff3b1dc66b014a6a6', 8982, 2, '2026-11-22 14:28:10.375958+00');
INSERT INTO public.artifacts VALUES ('c7/c7871478f104968da5dabef34cf119f4b3c2ad1d781123599cbb76791bb67480.png', 'c7871478f104968da5dabef34cf119f4b3c2ad1d781123599cbb76791bb67480', 9637, 2, '2026-11-22 14:28:10.375959+00');
INSERT INTO public.artifacts VALUES ('d0/d01f839c5279ea8eb1ee0b1fa4a877b41ffec0d5e75777e01fa9db22abd825a9.png', 'd01f839c5279ea8eb1ee0b1fa4a877b41ffec0d5e75777e01fa9db22abd825a9', 8686, 2, '2026-11-22 14:28:10.375959+00');
INSERT INTO public.artifacts VALUES ('d0/d035db44c4c1fe50563da34df314b0d379cd7b3d81e41907e07e91e4ca315439.png', 'd035db44c4c1fe50563da34df314b0d379cd7b3d81e41907e07e91e4ca315439', 8978, 2, '2026-11-22 14:28:10.375961+00');
INSERT INTO public.artifacts VALUES ('e6/e69525e200b7b793be06080a374785573e150c09bd56c2086609234c1c452c5e.png', 'e69525e200b7b793be06080a374785573e150c09bd56c2086609234c1c452c5e', 10916, 2, '2026-11-22 14:28:10.375961+00');
INSERT INTO public.artifacts VALUES ('ee/ee11cf2042d79012a9ca32691532fc3d16caa458c9c7058cc7fed5ab92d0023b.png', 'ee11cf2042d79012a9ca32691532fc3d16caa458c9c7058cc7fed5ab92d0023b', 4449, 2, '2026-11-22 14:28:10.375962+00');
INSERT INTO public.artifacts VALUES ('f2/f207c278881ca5d6889626974ddf1b52360b5d6ce6602ecbb8016d55d9d43755.png', 'f207c278881ca5d6889626974ddf1b52360b5d6ce6602ecbb8016d55d9d43755', 95471, 2, '2026-11-22 14:28:10.375962+00');
INSERT INTO public.artifacts VALUES ('f5/f52dc93e4dfad7f329126665ad64acbb831edf292a3854fecd52bdfea8358382.png', 'f52dc93e4dfad7f329126665ad64acbb831edf292a3854fecd52bdfea8358382', 78756, 2, '2026-11-22 14:28:10.375963+00');
INSERT INTO public.artifacts VALUES ('f8/f8b361093129ef2b8dd25bef945bf3b0aeaabc48b5b0d6575bac31b46d00d9d7.png', 'f8b361093129ef2b8dd25bef945bf3b0aeaabc48b5b0d6575bac31b46d00d9d7', 11039, 2, '2026-11-22 14:28:10.375964+00');
INSERT INTO public.artifacts VALUES ('fc/fc52c9e0163d92f0188a91f335d5f813a59af33d5706e9699e4671be8ff61e5b.png', 'fc52c9e0163d92f0188a91f335d5f813a59af33d5706e9699e4671be8ff61e5b', 8546, 2, '2026-11-22 14:28:10.375964+00');
INSERT INTO public.artifacts VALUES ('0b/0ba9520199f7a24dcd623402b776b2f71f4cbccce7d6fcf0260cc05814bb01ed.jpg', '0ba9520199f7a24dcd623402b776b2f71f4cbccce7d6fcf0260cc05814bb01ed', 86229, 2, '2026-11-22 14:28:10.639814+00');
INSERT INTO public.artifacts VALUES ('60/60877557c82236cadc74a206eeac27f9e60d97537e6322b78dca38377df3ff87.jpg', '60877557c82236cadc74a206eeac27f9e60d97537e6322b78dca38377df3ff87', 57307, 2, '2026-11-22 14:28:10.639824+00');
INSERT INTO public.artifacts VALUES ('d0/d0dd5145671367ffde1a3a7c85bc9cb7639361917c0040be85932d71bcd8bc3b.jpg', 'd0dd5145671367ffde1a3a7c85bc9cb7639361917c0040be85932d71bcd8bc3b', 59308, 3, '2026-11-22 14:28:16.234352+00');
INSERT INTO public.artifacts VALUES ('b4/b48dcfc6bc9792498e83e0389eec4460d7e2befe138a7e30f314c22e47d4035c.npz', 'b48dcfc6bc9792498e83e0389eec4460d7e2befe138a7e30f314c22e47d4035c', 21456, 7, '2026-11-22 14:29:00.946401+00');
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 1, -2.0084939002990723, 16, 10, 20);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 2, -1.7156912088394165, 36, 28, 13);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 3, -1.6771820783615112, 31, 29, 19);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 4, -1.67377507686615, 19, 22, 3);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 5, -1.6506130695343018, 35, 28, 13);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 6, -1.5215386152267456, 24, 11, 9);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 7, -1.5099843740463257, 32, 26, 15);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 8, -1.5022419691085815, 8, 18, 2);
INSERT INTO public.bottom_activation_rows VALUES (1, 0, 9, -1.5018633604049683, 40, 0, 16);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 1, -1.701692819595337, 16, 9, 19);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 2, -1.6992264986038208, 36, 19, 27);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 3, -1.6424154043197632, 35, 20, 22);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 4, -1.4234281778335571, 39, 13, 23);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 5, -1.3736108541488647, 24, 29, 8);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 6, -1.3595808744430542, 11, 13, 16);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 7, -1.304936170578003, 28, 25, 21);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 8, -1.2703989744186401, 40, 27, 25);
INSERT INTO public.bottom_activation_rows VALUES (1, 1, 9, -1.249316692352295, 8, 27, 0);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 1, -2.5150351524353027, 19, 14, 29);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 2, -2.4381179809570312, 16, 22, 29);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 3, -2.4215052127838135, 20, 2, 10);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 4, -2.2440083026885986, 32, 20, 12);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 5, -2.2157950401306152, 11, 7, 27);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 6, -2.1849091053009033, 31, 11, 18);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 7, -2.157687187194824, 39, 15, 7);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 8, -2.035504102706909, 24, 24, 22);
INSERT INTO public.bottom_activation_rows VALUES (1, 2, 9, -1.9716107845306396, 4, 1, 15);
INSERT INTO public.bottom_activation_rows VALUES (2, 0, 1, -0.09541346877813339, 15, 2, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 1, -2.4593863487243652, 40, 2, 2);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 2, -2.349580764770508, 31, 2, 2);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 3, -2.337291955947876, 19, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 4, -2.331545829772949, 16, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 5, -2.3029329776763916, 4, 2, 2);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 6, -2.206815004348755, 20, 2, 2);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 7, -2.157188892364502, 7, 2, 2);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 8, -2.050818681716919, 15, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 1, 9, -2.0359768867492676, 11, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 1, -5.82110071182251, 19, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 2, -5.766890525817871, 31, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 3, -5.590639114379883, 16, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 4, -5.544930934906006, 39, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 5, -5.500679016113281, 40, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 6, -5.472324371337891, 20, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 7, -4.965622901916504, 12, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 8, -4.948798656463623, 11, 1, 1);
INSERT INTO public.bottom_activation_rows VALUES (2, 2, 9, -4.9161481857299805, 27, 1, 1);
INSERT INTO public.checkpoints VALUES (1, 'best', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (1, 'epoch', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (1, 'state', 2, '0a/0afee090f2d3e6a5eca374036f6258ec58848fd0916a954d02062b91656cd242.pt', '0afee090f2d3e6a5eca374036f6258ec58848fd0916a954d02062b91656cd242', 31277213);
INSERT INTO public.checkpoints VALUES (1, 'last', 2, 'f2/f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718.safetensors', 'f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718', 10417168);
INSERT INTO public.checkpoints VALUES (4, 'best', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (4, 'epoch', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (4, 'state', 3, 'd3/d3a28fc5f3d55c55b55a5c606bebd4c90e2e082ae592724b84823f006b709a8d.pt', 'd3a28fc5f3d55c55b55a5c606bebd4c90e2e082ae592724b84823f006b709a8d', 31277213);
INSERT INTO public.checkpoints VALUES (4, 'last', 3, 'f5/f520a66fa3dbc34c0ea46186f4a66a519812b3f7c20c49e66bd2c11ad6a0163a.safetensors', 'f520a66fa3dbc34c0ea46186f4a66a519812b3f7c20c49e66bd2c11ad6a0163a', 10417168);
INSERT INTO public.checkpoints VALUES (6, 'best', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (6, 'epoch', 1, 'b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors', 'b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a', 10417168);
INSERT INTO public.checkpoints VALUES (6, 'epoch', 2, 'f2/f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718.safetensors', 'f27233420b8f1bb862aff2c8b264c1a6a89dfba9f49d9ea33c1a931f4fb45718', 10417168);
INSERT INTO public.checkpoints VALUES (6, 'state', 4, '42/42f655c772dd4befb27b15094cb97fcbe52f2c695fed143e48132283f92d7020.pt', '42f655c772dd4befb27b15094cb97fcbe52f2c695fed143e48132283f92d7020', 31277213);
INSERT INTO public.class_activation_rows VALUES (1, 0, 0, 1, 1.3942984342575073, 40, 26, 27);
INSERT INTO public.class_activation_rows VALUES (1, 0, 1, 1, 1.690973162651062, 20, 4, 23);
INSERT INTO public.class_activation_rows VALUES (1, 0, 2, 1, 1.4509320259094238, 12, 3, 23);
INSERT INTO public.class_activation_rows VALUES (1, 0, 3, 1, 1.7349472045898438, 15, 1, 15);
INSERT INTO public.class_activation_rows VALUES (1, 0, 4, 1, 0.9693392515182495, 7, 20, 30);
INSERT INTO public.class_activation_rows VALUES (1, 0, 5, 1, 1.7837779521942139, 16, 6, 18);
INSERT INTO public.class_activation_rows VALUES (1, 0, 6, 1, 1.7467477321624756, 11, 2, 19);
INSERT INTO public.class_activation_rows VALUES (1, 0, 7, 1, 1.4714958667755127, 8, 12, 30);
INSERT INTO public.class_activation_rows VALUES (1, 0, 8, 1, 1.792945384979248, 31, 23, 27);
INSERT INTO public.class_activation_rows VALUES (1, 0, 9, 1, 1.3143205642700195, 24, 15, 11);
INSERT INTO public.class_activation_rows VALUES (1, 0, 10, 1, 1.4716423749923706, 23, 20, 15);
INSERT INTO public.class_activation_rows VALUES (1, 0, 11, 1, 0.7185268402099609, 3, 14, 9);
INSERT INTO public.class_activation_rows VALUES (1, 0, 12, 1, 1.1061581373214722, 35, 7, 30);
INSERT INTO public.class_activation_rows VALUES (1, 0, 13, 1, 1.7515031099319458, 32, 13, 12);
INSERT INTO public.class_activation_rows VALUES (1, 0, 14, 1, 1.5544281005859375, 27, 12, 22);
INSERT INTO public.class_activation_rows VALUES (1, 0, 15, 1, 1.4013229608535767, 36, 9, 19);
INSERT INTO public.class_activation_rows VALUES (1, 0, 16, 1, 1.1917989253997803, 4, 28, 19);
INSERT INTO public.class_activation_rows VALUES (1, 0, 17, 1, 1.5287257432937622, 39, 15, 28);
INSERT INTO public.class_activation_rows VALUES (1, 0, 18, 1, 2.000882387161255, 19, 15, 13);
INSERT INTO public.class_activation_rows VALUES (1, 0, 19, 1, 1.9619007110595703, 28, 11, 25);
INSERT INTO public.class_activation_rows VALUES (1, 1, 0, 1, 2.2219486236572266, 40, 4, 23);
INSERT INTO public.class_activation_rows VALUES (1, 1, 1, 1, 2.5402417182922363, 20, 10, 20);
INSERT INTO public.class_activation_rows VALUES (1, 1, 2, 1, 1.317444920539856, 12, 4, 5);
INSERT INTO public.class_activation_rows VALUES (1, 1, 3, 1, 1.6481413841247559, 15, 2, 19);
INSERT INTO public.class_activation_rows VALUES (1, 1, 4, 1, 1.5410836935043335, 7, 29, 6);
INSERT INTO public.class_activation_rows VALUES (1, 1, 5, 1, 0.8155307173728943, 16, 29, 16);
INSERT INTO public.class_activation_rows VALUES (1, 1, 6, 1, 0.9012983441352844, 11, 26, 4);
INSERT INTO public.class_activation_rows VALUES (1, 1, 7, 1, 0.581106960773468, 8, 1, 2);
INSERT INTO public.class_activation_rows VALUES (1, 1, 8, 1, 1.7518835067749023, 31, 17, 21);
INSERT INTO public.class_activation_rows VALUES (1, 1, 9, 1, 2.001113176345825, 24, 10, 16);
INSERT INTO public.class_activation_rows VALUES (1, 1, 10, 1, 1.9502121210098267, 23, 27, 25);
INSERT INTO public.class_activation_rows VALUES (1, 1, 11, 1, 0.460756778717041, 3, 5, 19);
INSERT INTO public.class_activation_rows VALUES (1, 1, 12, 1, 0.8843361139297485, 35, 25, 13);
INSERT INTO public.class_activation_rows VALUES (1, 1, 13, 1, 1.791996955871582, 32, 26, 22);
INSERT INTO public.class_activation_rows VALUES (1, 1, 14, 1, 2.498133897781372, 27, 17, 8);
INSERT INTO public.class_activation_rows VALUES (1, 1, 15, 1, 0.895928144454956, 36, 15, 3);
INSERT INTO public.class_activation_rows VALUES (1, 1, 16, 1, 2.0507826805114746, 4, 10, 17);
INSERT INTO public.class_activation_rows VALUES (1, 1, 17, 1, 1.9865955114364624, 39, 12, 10);
INSERT INTO public.class_activation_rows VALUES (1, 1, 18, 1, 1.5724215507507324, 19, 15, 2);
INSERT INTO public.class_activation_rows VALUES (1, 1, 19, 1, 1.0476289987564087, 28, 12, 1);
INSERT INTO public.class_activation_rows VALUES (1, 2, 0, 1, 1.3068289756774902, 40, 30, 22);
INSERT INTO public.class_activation_rows VALUES (1, 2, 1, 1, 1.2525910139083862, 20, 19, 25);
INSERT INTO public.class_activation_rows VALUES (1, 2, 2, 1, 1.5811023712158203, 12, 18, 6);
INSERT INTO public.class_activation_rows VALUES (1, 2, 3, 1, 1.434303879737854, 15, 27, 7);
INSERT INTO public.class_activation_rows VALUES (1, 2, 4, 1, 1.321141004562378, 7, 18, 9);
INSERT INTO public.class_activation_rows VALUES (1, 2, 5, 1, 2.1065938472747803, 16, 19, 14);
INSERT INTO public.class_activation_rows VALUES (1, 2, 6, 1, 1.930412769317627, 11, 12, 27);
INSERT INTO public.class_activation_rows VALUES (1, 2, 7, 1, 1.7072181701660156, 8, 1, 3);
INSERT INTO public.class_activation_rows VALUES (1, 2, 8, 1, 1.4273964166641235, 31, 9, 16);
INSERT INTO public.class_activation_rows VALUES (1, 2, 9, 1, 1.4982075691223145, 24, 24, 13);
INSERT INTO public.class_activation_rows VALUES (1, 2, 10, 1, 1.051737666130066, 23, 8, 13);
INSERT INTO public.class_activation_rows VALUES (1, 2, 11, 1, 0.8073412179946899, 3, 1, 21);
INSERT INTO public.class_activation_rows VALUES (1, 2, 12, 1, 2.0568461418151855, 35, 19, 25);
INSERT INTO public.class_activation_rows VALUES (1, 2, 13, 1, 1.7235742807388306, 32, 3, 14);
INSERT INTO public.class_activation_rows VALUES (1, 2, 14, 1, 1.0384063720703125, 27, 2, 15);
INSERT INTO public.class_activation_rows VALUES (1, 2, 15, 1, 1.8710702657699585, 36, 3, 11);
INSERT INTO public.class_activation_rows VALUES (1, 2, 16, 1, 1.2649904489517212, 4, 30, 18);
INSERT INTO public.class_activation_rows VALUES (1, 2, 17, 1, 1.7282264232635498, 39, 12, 25);
INSERT INTO public.class_activation_rows VALUES (1, 2, 18, 1, 1.5024378299713135, 19, 22, 20);
INSERT INTO public.class_activation_rows VALUES (1, 2, 19, 1, 1.7359265089035034, 28, 21, 10);
INSERT INTO public.class_activation_rows VALUES (2, 0, 0, 1, 3.024897813796997, 40, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 1, 1, 3.184499502182007, 20, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 2, 1, 3.353569746017456, 12, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 3, 1, 2.2928903102874756, 15, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 4, 1, 2.8012967109680176, 7, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 5, 1, 4.0596723556518555, 16, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 6, 1, 3.551100015640259, 11, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 7, 1, 1.7084609270095825, 8, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 8, 1, 3.566500186920166, 31, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 9, 1, 3.1885716915130615, 24, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 10, 1, 2.5678281784057617, 23, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 11, 1, 1.941265344619751, 3, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 12, 1, 2.863678455352783, 35, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 13, 1, 3.3667311668395996, 32, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 14, 1, 3.070235013961792, 27, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 15, 1, 2.730264663696289, 36, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 16, 1, 3.20222544670105, 4, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 17, 1, 3.9080827236175537, 39, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 18, 1, 3.850297451019287, 19, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 0, 19, 1, 2.742903470993042, 28, 0, 1);
INSERT INTO public.class_activation_rows VALUES (2, 1, 0, 1, 1.819562315940857, 40, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 1, 1, 2.0594899654388428, 20, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 2, 1, 2.4953439235687256, 12, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 3, 1, 1.4001271724700928, 15, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 4, 1, 2.414153575897217, 7, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 5, 1, 2.901064157485962, 16, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 6, 1, 2.7413692474365234, 11, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 7, 1, 1.4491873979568481, 8, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 8, 1, 3.0680041313171387, 31, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 9, 1, 2.61318039894104, 24, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 10, 1, 1.6930655241012573, 23, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 11, 1, 1.0482920408248901, 3, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 12, 1, 2.0051815509796143, 35, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 13, 1, 2.5520179271698, 32, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 14, 1, 1.8817058801651, 27, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 15, 1, 2.1821482181549072, 36, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 16, 1, 2.4103806018829346, 4, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 17, 1, 3.0418527126312256, 39, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 18, 1, 2.641374349594116, 19, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 1, 19, 1, 2.384221315383911, 28, 2, 0);
INSERT INTO public.class_activation_rows VALUES (2, 2, 0, 1, 0.48599931597709656, 40, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 2, 1, 0.7876507043838501, 12, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 3, 1, 0.35988062620162964, 15, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 4, 1, 0.15275922417640686, 7, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 5, 1, 0.6813459992408752, 16, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 6, 1, 0.9685075283050537, 11, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 7, 1, 0.4375231862068176, 8, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 8, 1, 0.590728759765625, 31, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 10, 1, 0.15260469913482666, 23, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 12, 1, 0.39544016122817993, 35, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 13, 1, 0.32823774218559265, 32, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 15, 1, 0.5873185396194458, 36, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 17, 1, 0.2164187878370285, 39, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 18, 1, 0.8642746806144714, 19, 0, 2);
INSERT INTO public.class_activation_rows VALUES (2, 2, 19, 1, 1.003199577331543, 28, 0, 2);
INSERT INTO public.counters VALUES ('shards_done', 'top9', 'select', 1);
INSERT INTO public.counters VALUES ('shard_seconds', 'top9', 'select', 0.288278);
INSERT INTO public.counters VALUES ('work_done', 'top9', 'select', 1);
INSERT INTO public.counters VALUES ('shards_done', 'top9', 'project', 4);
INSERT INTO public.counters VALUES ('shard_seconds', 'top9', 'project', 4.884373);
INSERT INTO public.counters VALUES ('work_done', 'top9', 'project', 6);
INSERT INTO public.counters VALUES ('shards_done', 'top9', 'finish', 1);
INSERT INTO public.counters VALUES ('shard_seconds', 'top9', 'finish', 0.226781);
INSERT INTO public.counters VALUES ('work_done', 'top9', 'finish', 2);
INSERT INTO public.counters VALUES ('shards_done', 'occlusion', 'sweep', 1);
INSERT INTO public.counters VALUES ('shard_seconds', 'occlusion', 'sweep', 1.383807);
INSERT INTO public.counters VALUES ('work_done', 'occlusion', 'sweep', 2);
INSERT INTO public.counters VALUES ('shards_done', 'occlusion', 'draw', 1);
INSERT INTO public.counters VALUES ('shard_seconds', 'occlusion', 'draw', 1.50808);
INSERT INTO public.counters VALUES ('work_done', 'occlusion', 'draw', 2);
INSERT INTO public.counters VALUES ('shards_done', 'occlusion', 'finish', 1);
INSERT INTO public.counters VALUES ('shard_seconds', 'occlusion', 'finish', 0.057111);
INSERT INTO public.counters VALUES ('work_done', 'occlusion', 'finish', 2);
INSERT INTO public.counters VALUES ('shards_done', 'train', 'train', 2);
INSERT INTO public.counters VALUES ('shard_seconds', 'train', 'train', 12.969159000000001);
INSERT INTO public.counters VALUES ('work_done', 'train', 'train', 120);
INSERT INTO public.counters VALUES ('attempts_failed', 'train', 'train', 1);
INSERT INTO public.counters VALUES ('shards_done', 'top9', 'search', 2);
INSERT INTO public.counters VALUES ('shard_seconds', 'top9', 'search', 4.751886);
INSERT INTO public.counters VALUES ('work_done', 'top9', 'search', 40);
INSERT INTO public.database_identity VALUES ('9bbed2f7-ed77-4f5e-bd8e-ef6e5bf9a4c3', '2026-11-27 04:01:28.049746+00');
INSERT INTO public.dataset_problems VALUES (1, 2, 'train/cat/broken.png', 0, 'broken image', 'not an image of a known format (JPEG, PNG, PPM, BMP, GIF, TIFF, WEBP)');
INSERT INTO public.datasets VALUES (1, 'shapes', 'shapes', '/datasets/shapes', '{"years": ["2007"], "whole": false, "difficult": false, "splits": ["train", "trainval", "val"]}', '7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747', '["striped-circle", "checked-circle", "dotted-circle", "plain-circle", "striped-square", "checked-square", "dotted-square", "plain-square", "striped-triangle", "checked-triangle", "dotted-triangle", "plain-triangle", "striped-star", "checked-star", "dotted-star", "plain-star", "striped-cross", "checked-cross", "dotted-cross", "plain-cross"]', '2026-11-22 14:27:28.189782+00');
INSERT INTO public.datasets VALUES (2, 'pictures', 'folder', '/datasets/pictures', '{"splits": ["train", "val"]}', '56c0f6ba1680837b1bda2e6cec2a7444ef267a5d73d4521f14357ff5723d5057', '["cat", "dog"]', '2026-11-22 14:27:30.389473+00');
INSERT INTO public.epochs VALUES (1, 1, 'train', 4.705436897277832, 0.05, 0.0005, 20, 0.4914695629995549, 0.2, 113.6410140991211, NULL);
INSERT INTO public.epochs VALUES (1, 1, 'val', 2.9957325935363768, 0.05, 0.0005, 20, 0.11603851299878443, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (1, 2, 'train', 3.2591641426086424, 0.05, 0.0005, 20, 0.36138021999795455, 0.15, 29.346938242514927, NULL);
INSERT INTO public.epochs VALUES (1, 2, 'val', 2.9957329750061037, 0.05, 0.0005, 20, 0.0897706659961841, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (4, 1, 'train', 4.705436897277832, 0.05, 0.0005, 20, 0.4914695629995549, 0.2, 113.6410140991211, NULL);
INSERT INTO public.epochs VALUES (4, 1, 'val', 2.9957325935363768, 0.05, 0.0005, 20, 0.11603851299878443, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (4, 2, 'train', 3.2591641426086424, 0.05, 0.0005, 20, 0.36138021999795455, 0.15, 29.346938242514927, NULL);
INSERT INTO public.epochs VALUES (4, 2, 'val', 2.9957329750061037, 0.05, 0.0005, 20, 0.0897706659961841, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (4, 3, 'train', 2.9958086013793945, 0.05, 0.0005, 20, 0.2562278460027301, 0.25, 0.3391888936360677, NULL);
INSERT INTO public.epochs VALUES (4, 3, 'val', 2.995733451843262, 0.05, 0.0005, 20, 0.06991938599821879, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (6, 1, 'train', 4.705436897277832, 0.05, 0.0005, 20, 0.39155158700305037, 0.2, 113.6410140991211, NULL);
INSERT INTO public.epochs VALUES (6, 1, 'val', 2.9957325935363768, 0.05, 0.0005, 20, 0.08361414699902525, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (6, 2, 'train', 3.2591641426086424, 0.05, 0.0005, 20, 0.3073824449966196, 0.15, 29.346938242514927, NULL);
INSERT INTO public.epochs VALUES (6, 2, 'val', 2.9957329750061037, 0.05, 0.0005, 20, 0.0702529619957204, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (6, 3, 'train', 2.9958086013793945, 0.05, 0.0005, 20, 0.303530580997176, 0.25, 0.3391888936360677, NULL);
INSERT INTO public.epochs VALUES (6, 3, 'val', 2.995733451843262, 0.05, 0.0005, 20, 0.07917402900056913, 0.25, NULL, NULL);
INSERT INTO public.epochs VALUES (6, 4, 'train', 3.047704792022705, 0, 0.0005, 20, 0.2954207590009901, 0.25, 12.602135787407557, NULL);
INSERT INTO public.epochs VALUES (6, 4, 'val', 2.99573392868042, 0.05, 0.0005, 20, 0.07597762899968075, 0.25, NULL, NULL);
INSERT INTO public.events VALUES (1, 1, NULL, '2026-11-22 14:27:46.601151+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (2, 1, 1, '2026-11-22 14:27:50.689216+00', 'info', 'train: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (3, 1, 1, '2026-11-22 14:27:57.254596+00', 'info', 'epoch 1: train loss 4.7054 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 40.7 images/s');
INSERT INTO public.events VALUES (4, 1, 1, '2026-11-22 14:27:57.962822+00', 'info', 'epoch 2: train loss 3.2592 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 55.3 images/s');
INSERT INTO public.events VALUES (5, 1, 1, '2026-11-22 14:28:00.077736+00', 'info', 'train: done');
INSERT INTO public.events VALUES (6, 1, NULL, '2026-11-22 14:28:00.087071+00', 'info', 'job done');
INSERT INTO public.events VALUES (7, 2, NULL, '2026-11-22 14:28:04.386043+00', 'info', 'submitted: 7 shards');
INSERT INTO public.events VALUES (8, 2, 2, '2026-11-22 14:28:04.538995+00', 'info', 'search: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (9, 2, 2, '2026-11-22 14:28:04.932787+00', 'info', 'search: done');
INSERT INTO public.events VALUES (10, 2, 3, '2026-11-22 14:28:05.068667+00', 'info', 'select: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (11, 2, 3, '2026-11-22 14:28:05.333709+00', 'info', 'select: done');
INSERT INTO public.events VALUES (12, 2, 4, '2026-11-22 14:28:05.41907+00', 'info', 'project: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (13, 2, 4, '2026-11-22 14:28:05.947344+00', 'info', 'project: done');
INSERT INTO public.events VALUES (14, 2, 5, '2026-11-22 14:28:05.997934+00', 'info', 'project: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (15, 2, 5, '2026-11-22 14:28:06.547507+00', 'info', 'project: done');
INSERT INTO public.events VALUES (16, 2, 6, '2026-11-22 14:28:06.59875+00', 'info', 'project: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (17, 2, 6, '2026-11-22 14:28:08.571558+00', 'info', 'project: done');
INSERT INTO public.events VALUES (18, 2, 7, '2026-11-22 14:28:08.608443+00', 'info', 'project: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (19, 2, 7, '2026-11-22 14:28:10.393552+00', 'info', 'project: done');
INSERT INTO public.events VALUES (20, 2, 8, '2026-11-22 14:28:10.437294+00', 'info', 'finish: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (21, 2, 8, '2026-11-22 14:28:10.655537+00', 'info', 'finish: done');
INSERT INTO public.events VALUES (22, 2, NULL, '2026-11-22 14:28:10.660661+00', 'info', 'job done');
INSERT INTO public.events VALUES (23, 3, NULL, '2026-11-22 14:28:13.124132+00', 'info', 'submitted: 3 shards');
INSERT INTO public.events VALUES (24, 3, 9, '2026-11-22 14:28:13.211314+00', 'info', 'sweep: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (25, 3, 9, '2026-11-22 14:28:13.370759+00', 'info', 'engine incremental: the incremental engine multiplies 58% as often as the full one');
INSERT INTO public.events VALUES (26, 3, 9, '2026-11-22 14:28:14.559176+00', 'info', 'sweep: done');
INSERT INTO public.events VALUES (27, 3, 10, '2026-11-22 14:28:14.639247+00', 'info', 'draw: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (28, 3, 10, '2026-11-22 14:28:16.132304+00', 'info', 'draw: done');
INSERT INTO public.events VALUES (29, 3, 11, '2026-11-22 14:28:16.185733+00', 'info', 'finish: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (30, 3, 11, '2026-11-22 14:28:16.235969+00', 'info', 'finish: done');
INSERT INTO public.events VALUES (31, 3, NULL, '2026-11-22 14:28:16.238763+00', 'info', 'job done');
INSERT INTO public.events VALUES (32, 4, NULL, '2026-11-22 14:28:19.564689+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (33, 4, 12, '2026-11-22 14:28:19.687408+00', 'info', 'train: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (34, 4, 12, '2026-11-22 14:28:20.823921+00', 'info', 'goes on behind epoch 2');
INSERT INTO public.events VALUES (35, 4, 12, '2026-11-22 14:28:21.410691+00', 'info', 'epoch 3: train loss 2.9958 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 78.1 images/s');
INSERT INTO public.events VALUES (36, 4, 12, '2026-11-22 14:28:23.223285+00', 'info', 'train: done');
INSERT INTO public.events VALUES (37, 4, NULL, '2026-11-22 14:28:23.225182+00', 'info', 'job done');
INSERT INTO public.events VALUES (38, 5, NULL, '2026-11-22 14:28:36.573369+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (39, 5, 13, '2026-11-22 14:28:36.679104+00', 'info', 'train: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (40, 5, 13, '2026-11-22 14:28:36.832201+00', 'error', 'None of the 4 images could be read. Is the data set''s root /datasets/pictures in place, and does this worker see it? `analyze logs 5` has the reasons.');
INSERT INTO public.events VALUES (41, 5, NULL, '2026-11-22 14:28:36.841718+00', 'error', 'job failed');
INSERT INTO public.events VALUES (42, 6, NULL, '2026-11-22 14:28:40.011687+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (43, 6, 14, '2026-11-22 14:28:40.14296+00', 'info', 'train: attempt 1 begins on host-cpu-47e611');
INSERT INTO public.events VALUES (44, 6, 14, '2026-11-22 14:28:41.074823+00', 'info', 'epoch 1: train loss 4.7054 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 51.1 images/s');
INSERT INTO public.events VALUES (45, 6, 14, '2026-11-22 14:28:41.687351+00', 'info', 'epoch 2: train loss 3.2592 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 65.1 images/s');
INSERT INTO public.events VALUES (46, 6, 14, '2026-11-22 14:28:42.242738+00', 'info', 'epoch 3: train loss 2.9958 accuracy 0.0500, val loss 2.9957 accuracy 0.0500, 65.9 images/s');
INSERT INTO public.events VALUES (47, 6, NULL, '2026-11-22 14:28:42.738537+00', 'info', 'cancel requested');
INSERT INTO public.events VALUES (48, 6, 14, '2026-11-22 14:28:42.784052+00', 'info', 'epoch 4: train loss 3.0477 accuracy 0.0000, val loss 2.9957 accuracy 0.0500, 67.7 images/s');
INSERT INTO public.events VALUES (49, 6, NULL, '2026-11-22 14:28:42.960026+00', 'info', 'job cancelled');
INSERT INTO public.events VALUES (50, 7, NULL, '2026-11-22 14:28:51.410176+00', 'info', 'submitted: 7 shards');
INSERT INTO public.events VALUES (51, 7, 15, '2026-11-22 14:28:56.631367+00', 'info', 'search: attempt 1 begins on host-cpu-85be8d');
INSERT INTO public.events VALUES (52, 7, 15, '2026-11-22 14:29:00.949756+00', 'info', 'search: done');
INSERT INTO public.events VALUES (53, 8, NULL, '2026-11-22 14:29:03.49737+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (54, 8, 22, '2026-11-22 14:29:03.607408+00', 'info', 'train: attempt 1 begins on host-cpu-85be8d');
INSERT INTO public.events VALUES (55, 9, NULL, '2026-11-22 14:29:07.112805+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (56, 10, NULL, '2026-11-22 14:29:24.26925+00', 'info', 'submitted: 7 shards');
INSERT INTO public.events VALUES (57, 11, NULL, '2026-11-22 14:29:38.876594+00', 'info', 'submitted: 3 shards');
INSERT INTO public.events VALUES (58, 12, NULL, '2026-11-22 14:29:42.035537+00', 'info', 'submitted: 1 shards');
INSERT INTO public.events VALUES (59, 12, NULL, '2026-11-22 14:29:44.976036+00', 'info', 'cancel requested');
INSERT INTO public.events VALUES (60, 12, NULL, '2026-11-22 14:29:45.013474+00', 'info', 'job cancelled');
INSERT INTO public.image_splits VALUES ('train', 1, 1);
INSERT INTO public.image_splits VALUES ('trainval', 1, 1);
INSERT INTO public.image_splits VALUES ('train', 2, 1);
INSERT INTO public.image_splits VALUES ('trainval', 2, 1);
INSERT INTO public.image_splits VALUES ('trainval', 3, 1);
INSERT INTO public.image_splits VALUES ('val', 3, 1);
INSERT INTO public.image_splits VALUES ('trainval', 4, 1);
INSERT INTO public.image_splits VALUES ('val', 4, 1);
INSERT INTO public.image_splits VALUES ('train', 5, 1);
INSERT INTO public.image_splits VALUES ('trainval', 5, 1);
INSERT INTO public.image_splits VALUES ('train', 6, 1);
INSERT INTO public.image_splits VALUES ('trainval', 6, 1);
INSERT INTO public.image_splits VALUES ('trainval', 7, 1);
INSERT INTO public.image_splits VALUES ('val', 7, 1);
INSERT INTO public.image_splits VALUES ('trainval', 8, 1);
INSERT INTO public.image_splits VALUES ('val', 8, 1);
INSERT INTO public.image_splits VALUES ('train', 9, 1);
INSERT INTO public.image_splits VALUES ('trainval', 9, 1);
INSERT INTO public.image_splits VALUES ('train', 10, 1);
INSERT INTO public.image_splits VALUES ('trainval', 10, 1);
INSERT INTO public.image_splits VALUES ('trainval', 11, 1);
INSERT INTO public.image_splits VALUES ('val', 11, 1);
INSERT INTO public.image_splits VALUES ('trainval', 12, 1);
INSERT INTO public.image_splits VALUES ('val', 12, 1);
INSERT INTO public.image_splits VALUES ('train', 13, 1);
INSERT INTO public.image_splits VALUES ('trainval', 13, 1);
INSERT INTO public.image_splits VALUES ('train', 14, 1);
INSERT INTO public.image_splits VALUES ('trainval', 14, 1);
INSERT INTO public.image_splits VALUES ('trainval', 15, 1);
INSERT INTO public.image_splits VALUES ('val', 15, 1);
INSERT INTO public.image_splits VALUES ('trainval', 16, 1);
INSERT INTO public.image_splits VALUES ('val', 16, 1);
INSERT INTO public.image_splits VALUES ('train', 17, 1);
INSERT INTO public.image_splits VALUES ('trainval', 17, 1);
INSERT INTO public.image_splits VALUES ('train', 18, 1);
INSERT INTO public.image_splits VALUES ('trainval', 18, 1);
INSERT INTO public.image_splits VALUES ('trainval', 19, 1);
INSERT INTO public.image_splits VALUES ('val', 19, 1);
INSERT INTO public.image_splits VALUES ('trainval', 20, 1);
INSERT INTO public.image_splits VALUES ('val', 20, 1);
INSERT INTO public.image_splits VALUES ('train', 21, 1);
INSERT INTO public.image_splits VALUES ('trainval', 21, 1);
INSERT INTO public.image_splits VALUES ('train', 22, 1);
INSERT INTO public.image_splits VALUES ('trainval', 22, 1);
INSERT INTO public.image_splits VALUES ('trainval', 23, 1);
INSERT INTO public.image_splits VALUES ('val', 23, 1);
INSERT INTO public.image_splits VALUES ('trainval', 24, 1);
INSERT INTO public.image_splits VALUES ('val', 24, 1);
INSERT INTO public.image_splits VALUES ('train', 25, 1);
INSERT INTO public.image_splits VALUES ('trainval', 25, 1);
INSERT INTO public.image_splits VALUES ('train', 26, 1);
INSERT INTO public.image_splits VALUES ('trainval', 26, 1);
INSERT INTO public.image_splits VALUES ('trainval', 27, 1);
INSERT INTO public.image_splits VALUES ('val', 27, 1);
INSERT INTO public.image_splits VALUES ('trainval', 28, 1);
INSERT INTO public.image_splits VALUES ('val', 28, 1);
INSERT INTO public.image_splits VALUES ('train', 29, 1);
INSERT INTO public.image_splits VALUES ('trainval', 29, 1);
INSERT INTO public.image_splits VALUES ('train', 30, 1);
INSERT INTO public.image_splits VALUES ('trainval', 30, 1);
INSERT INTO public.image_splits VALUES ('trainval', 31, 1);
INSERT INTO public.image_splits VALUES ('val', 31, 1);
INSERT INTO public.image_splits VALUES ('trainval', 32, 1);
INSERT INTO public.image_splits VALUES ('val', 32, 1);
INSERT INTO public.image_splits VALUES ('train', 33, 1);
INSERT INTO public.image_splits VALUES ('trainval', 33, 1);
INSERT INTO public.image_splits VALUES ('train', 34, 1);
INSERT INTO public.image_splits VALUES ('trainval', 34, 1);
INSERT INTO public.image_splits VALUES ('trainval', 35, 1);
INSERT INTO public.image_splits VALUES ('val', 35, 1);
INSERT INTO public.image_splits VALUES ('trainval', 36, 1);
INSERT INTO public.image_splits VALUES ('val', 36, 1);
INSERT INTO public.image_splits VALUES ('train', 37, 1);
INSERT INTO public.image_splits VALUES ('trainval', 37, 1);
INSERT INTO public.image_splits VALUES ('train', 38, 1);
INSERT INTO public.image_splits VALUES ('trainval', 38, 1);
INSERT INTO public.image_splits VALUES ('trainval', 39, 1);
INSERT INTO public.image_splits VALUES ('val', 39, 1);
INSERT INTO public.image_splits VALUES ('trainval', 40, 1);
INSERT INTO public.image_splits VALUES ('val', 40, 1);
INSERT INTO public.image_splits VALUES ('train', 41, 2);
INSERT INTO public.image_splits VALUES ('train', 42, 2);
INSERT INTO public.image_splits VALUES ('train', 43, 2);
INSERT INTO public.image_splits VALUES ('train', 44, 2);
INSERT INTO public.image_splits VALUES ('val', 45, 2);
INSERT INTO public.image_splits VALUES ('val', 46, 2);
INSERT INTO public.image_splits VALUES ('val', 47, 2);
INSERT INTO public.image_splits VALUES ('val', 48, 2);
INSERT INTO public.images VALUES (1, 1, 'VOC2007/JPEGImages/000001.jpg', 1, 4, 'striped-square', 289, 249, 44, 135, 126, 217, '317e74c61b65a6ebe1c08b636f19a53716b876114b4bab22dddaa392e00cc7fa', NULL);
INSERT INTO public.images VALUES (2, 1, 'VOC2007/JPEGImages/000001.jpg', 2, 19, 'plain-cross', 289, 249, 132, 84, 231, 183, '317e74c61b65a6ebe1c08b636f19a53716b876114b4bab22dddaa392e00cc7fa', NULL);
INSERT INTO public.images VALUES (3, 1, 'VOC2007/JPEGImages/000002.jpg', 1, 11, 'plain-triangle', 319, 197, 28, 88, 109, 167, '01d72ade3bd65d687551de147f380a0bb1b94bf092b540529e7da9d20e1f0f4c', NULL);
INSERT INTO public.images VALUES (4, 1, 'VOC2007/JPEGImages/000002.jpg', 2, 16, 'striped-cross', 319, 197, 145, 86, 250, 191, '01d72ade3bd65d687551de147f380a0bb1b94bf092b540529e7da9d20e1f0f4c', NULL);
INSERT INTO public.images VALUES (5, 1, 'VOC2007/JPEGImages/000003.jpg', 1, 6, 'dotted-square', 288, 250, 88, 123, 179, 214, '4298f897bf388fd657c2ab217480263852318bb95e5296e490560e249a0ed564', NULL);
INSERT INTO public.images VALUES (6, 1, 'VOC2007/JPEGImages/000003.jpg', 2, 2, 'dotted-circle', 288, 250, 186, 140, 281, 235, '4298f897bf388fd657c2ab217480263852318bb95e5296e490560e249a0ed564', NULL);
INSERT INTO public.images VALUES (7, 1, 'VOC2007/JPEGImages/000004.jpg', 1, 4, 'striped-square', 285, 249, 10, 136, 111, 237, '7723cde0240a4cf2d3f936d6d0e460c5131dd2a79744c5df0a7ad65e39691d76', NULL);
INSERT INTO public.images VALUES (8, 1, 'VOC2007/JPEGImages/000004.jpg', 2, 7, 'plain-square', 285, 249, 147, 122, 255, 230, '7723cde0240a4cf2d3f936d6d0e460c5131dd2a79744c5df0a7ad65e39691d76', NULL);
INSERT INTO public.images VALUES (9, 1, 'VOC2007/JPEGImages/000005.jpg', 1, 13, 'checked-star', 301, 216, 11, 8, 113, 107, '86740b6c7394eb0f6acac78229905ffa8742a4d3a69241d38c5df5ef7e141d5a', NULL);
INSERT INTO public.images VALUES (10, 1, 'VOC2007/JPEGImages/000005.jpg', 2, 16, 'striped-cross', 301, 216, 137, 45, 245, 153, '86740b6c7394eb0f6acac78229905ffa8742a4d3a69241d38c5df5ef7e141d5a', NULL);
INSERT INTO public.images VALUES (11, 1, 'VOC2007/JPEGImages/000006.jpg', 1, 6, 'dotted-square', 285, 218, 87, 79, 190, 182, '7949695023736d0021c12f3fad9d6b16f6ae44886f96792f6fc14f6ad8822a5f', NULL);
INSERT INTO public.images VALUES (12, 1, 'VOC2007/JPEGImages/000006.jpg', 2, 2, 'dotted-circle', 285, 218, 195, 29, 280, 114, '7949695023736d0021c12f3fad9d6b16f6ae44886f96792f6fc14f6ad8822a5f', NULL);
INSERT INTO public.images VALUES (13, 1, 'VOC2007/JPEGImages/000007.jpg', 1, 3, 'plain-circle', 307, 194, 15, 39, 96, 120, '001c4aa03fe5438ab4669738a0b32a9e23cebd52ce2e5ee69da732acf1a12e14', NULL);
INSERT INTO public.images VALUES (14, 1, 'VOC2007/JPEGImages/000007.jpg', 2, 11, 'plain-triangle', 307, 194, 154, 31, 254, 135, '001c4aa03fe5438ab4669738a0b32a9e23cebd52ce2e5ee69da732acf1a12e14', NULL);
INSERT INTO public.images VALUES (15, 1, 'VOC2007/JPEGImages/000008.jpg', 1, 3, 'plain-circle', 276, 241, 27, 132, 105, 210, '4e682575017735495c21c8dbdbbf30b037a57a5f287017f294db8dd9316cde28', NULL);
INSERT INTO public.images VALUES (16, 1, 'VOC2007/JPEGImages/000008.jpg', 2, 5, 'checked-square', 276, 241, 143, 84, 236, 177, '4e682575017735495c21c8dbdbbf30b037a57a5f287017f294db8dd9316cde28', NULL);
INSERT INTO public.images VALUES (17, 1, 'VOC2007/JPEGImages/000009.jpg', 1, 10, 'dotted-triangle', 272, 228, 18, 57, 115, 149, '400dae7d5963759067264c7a4279bcb087a1b2ea69cc949c108a175415fd7603', NULL);
INSERT INTO public.images VALUES (18, 1, 'VOC2007/JPEGImages/000009.jpg', 2, 8, 'striped-triangle', 272, 228, 164, 113, 264, 204, '400dae7d5963759067264c7a4279bcb087a1b2ea69cc949c108a175415fd7603', NULL);
INSERT INTO public.images VALUES (19, 1, 'VOC2007/JPEGImages/000010.jpg', 1, 18, 'dotted-cross', 274, 224, 23, 95, 117, 189, '007648d22768ec49a7dcc30c2bfd912fe26ffbee1868a544bfbdff1a5049fbb6', NULL);
INSERT INTO public.images VALUES (20, 1, 'VOC2007/JPEGImages/000010.jpg', 2, 1, 'checked-circle', 274, 224, 147, 87, 237, 177, '007648d22768ec49a7dcc30c2bfd912fe26ffbee1868a544bfbdff1a5049fbb6', NULL);
INSERT INTO public.images VALUES (21, 1, 'VOC2007/JPEGImages/000011.jpg', 1, 0, 'striped-circle', 265, 225, 8, 46, 94, 132, '5b229aafeeeb493452353a9a9afce6dc898ea867c1c5a88aeadab6c2c3288991', NULL);
INSERT INTO public.images VALUES (22, 1, 'VOC2007/JPEGImages/000011.jpg', 2, 12, 'striped-star', 265, 225, 159, 38, 236, 116, '5b229aafeeeb493452353a9a9afce6dc898ea867c1c5a88aeadab6c2c3288991', NULL);
INSERT INTO public.images VALUES (23, 1, 'VOC2007/JPEGImages/000012.jpg', 1, 10, 'dotted-triangle', 315, 219, 42, 107, 133, 201, 'd2a5062da7ee2e08668aac7ad9ba2b73e2a0815579b56cd1a759efdd3abd6235', NULL);
INSERT INTO public.images VALUES (24, 1, 'VOC2007/JPEGImages/000012.jpg', 2, 9, 'checked-triangle', 315, 219, 220, 118, 307, 202, 'd2a5062da7ee2e08668aac7ad9ba2b73e2a0815579b56cd1a759efdd3abd6235', NULL);
INSERT INTO public.images VALUES (25, 1, 'VOC2007/JPEGImages/000013.jpg', 1, 7, 'plain-square', 299, 229, 75, 71, 156, 152, '27cf975dbc530c4fc42d23763fdb1d5af9182e2950a41367b9a24dc0c3babb7f', NULL);
INSERT INTO public.images VALUES (26, 1, 'VOC2007/JPEGImages/000013.jpg', 2, 5, 'checked-square', 299, 229, 172, 122, 263, 213, '27cf975dbc530c4fc42d23763fdb1d5af9182e2950a41367b9a24dc0c3babb7f', NULL);
INSERT INTO public.images VALUES (27, 1, 'VOC2007/JPEGImages/000014.jpg', 1, 14, 'dotted-star', 295, 228, 13, 47, 92, 130, '10e859794ce07827c11bad6397de77327169699d53581af91cf25a08b3688983', NULL);
INSERT INTO public.images VALUES (28, 1, 'VOC2007/JPEGImages/000014.jpg', 2, 19, 'plain-cross', 295, 228, 114, 62, 187, 135, '10e859794ce07827c11bad6397de77327169699d53581af91cf25a08b3688983', NULL);
INSERT INTO public.images VALUES (29, 1, 'VOC2007/JPEGImages/000015.jpg', 1, 18, 'dotted-cross', 302, 232, 40, 41, 136, 137, 'ae946faf4f0a10de5910031a89da1a2049b46743a172b88f2275e87c3c0b3817', NULL);
INSERT INTO public.images VALUES (30, 1, 'VOC2007/JPEGImages/000015.jpg', 2, 17, 'checked-cross', 302, 232, 198, 38, 280, 120, 'ae946faf4f0a10de5910031a89da1a2049b46743a172b88f2275e87c3c0b3817', NULL);
INSERT INTO public.images VALUES (31, 1, 'VOC2007/JPEGImages/000016.jpg', 1, 8, 'striped-triangle', 266, 242, 28, 53, 115, 133, '043a73d595f7e7ac9f9d28b94edc784ccb2cb090c57c1a15983eca86a1161c89', NULL);
INSERT INTO public.images VALUES (32, 1, 'VOC2007/JPEGImages/000016.jpg', 2, 13, 'checked-star', 266, 242, 178, 153, 261, 232, '043a73d595f7e7ac9f9d28b94edc784ccb2cb090c57c1a15983eca86a1161c89', NULL);
INSERT INTO public.images VALUES (33, 1, 'VOC2007/JPEGImages/000017.jpg', 1, 14, 'dotted-star', 256, 215, 20, 36, 101, 117, '80c41cbd1fd4f8d087d9871e237c08f1c7e231ab5e84ece9c859466cf0326fab', NULL);
INSERT INTO public.images VALUES (34, 1, 'VOC2007/JPEGImages/000017.jpg', 2, 9, 'checked-triangle', 256, 215, 118, 30, 200, 102, '80c41cbd1fd4f8d087d9871e237c08f1c7e231ab5e84ece9c859466cf0326fab', NULL);
INSERT INTO public.images VALUES (35, 1, 'VOC2007/JPEGImages/000018.jpg', 1, 12, 'striped-star', 276, 250, 14, 115, 123, 229, '783d25009340a88e58eb6d3a61a4ad74de0500645484295b20d1c7769b3645d1', NULL);
INSERT INTO public.images VALUES (36, 1, 'VOC2007/JPEGImages/000018.jpg', 2, 15, 'plain-star', 276, 250, 131, 39, 222, 134, '783d25009340a88e58eb6d3a61a4ad74de0500645484295b20d1c7769b3645d1', NULL);
INSERT INTO public.images VALUES (37, 1, 'VOC2007/JPEGImages/000019.jpg', 1, 1, 'checked-circle', 280, 201, 17, 62, 102, 147, '8e061b093cc865b4a77ceb8472b013137b397c212df540fd8012e1d28a40fc37', NULL);
INSERT INTO public.images VALUES (38, 1, 'VOC2007/JPEGImages/000019.jpg', 2, 15, 'plain-star', 280, 201, 134, 66, 230, 163, '8e061b093cc865b4a77ceb8472b013137b397c212df540fd8012e1d28a40fc37', NULL);
INSERT INTO public.images VALUES (39, 1, 'VOC2007/JPEGImages/000020.jpg', 1, 17, 'checked-cross', 313, 242, 13, 147, 102, 236, '54f7e23a3ee162dc4a6a7bb942cb1170c7602002d22ce3d83054a0f3892acead', NULL);
INSERT INTO public.images VALUES (40, 1, 'VOC2007/JPEGImages/000020.jpg', 2, 0, 'striped-circle', 313, 242, 194, 33, 291, 130, '54f7e23a3ee162dc4a6a7bb942cb1170c7602002d22ce3d83054a0f3892acead', NULL);
INSERT INTO public.images VALUES (41, 2, 'train/cat/0.png', 0, 0, 'cat', 20, 16, NULL, NULL, NULL, NULL, 'e069df99b72f43f4b75e0b49d7b3cf78f13415e40c3000faffc7fcad443137e2', NULL);
INSERT INTO public.images VALUES (42, 2, 'train/cat/1.png', 0, 0, 'cat', 20, 16, NULL, NULL, NULL, NULL, 'e7a0970267dae78854cf66747e7e78e48a1405e9026a99f6f27e7ac3f889c58a', NULL);
INSERT INTO public.images VALUES (43, 2, 'train/dog/0.png', 0, 1, 'dog', 20, 16, NULL, NULL, NULL, NULL, '0ced56b184bdfd120f7968fbe48ed22e90bce333106c8f4aeaa33b87561093ae', NULL);
INSERT INTO public.images VALUES (44, 2, 'train/dog/1.png', 0, 1, 'dog', 20, 16, NULL, NULL, NULL, NULL, 'f0be7c576a7edd74b324968e0ec06a967f80b8afb245ef59bf0d92eef04cfab3', NULL);
INSERT INTO public.images VALUES (45, 2, 'val/cat/0.png', 0, 0, 'cat', 20, 16, NULL, NULL, NULL, NULL, 'e069df99b72f43f4b75e0b49d7b3cf78f13415e40c3000faffc7fcad443137e2', NULL);
INSERT INTO public.images VALUES (46, 2, 'val/cat/1.png', 0, 0, 'cat', 20, 16, NULL, NULL, NULL, NULL, 'e7a0970267dae78854cf66747e7e78e48a1405e9026a99f6f27e7ac3f889c58a', NULL);
INSERT INTO public.images VALUES (47, 2, 'val/dog/0.png', 0, 1, 'dog', 20, 16, NULL, NULL, NULL, NULL, '0ced56b184bdfd120f7968fbe48ed22e90bce333106c8f4aeaa33b87561093ae', NULL);
INSERT INTO public.images VALUES (48, 2, 'val/dog/1.png', 0, 1, 'dog', 20, 16, NULL, NULL, NULL, NULL, 'f0be7c576a7edd74b324968e0ec06a967f80b8afb245ef59bf0d92eef04cfab3', NULL);
INSERT INTO public.jobs VALUES (1, 'train', '53ae22f3a4857f5cdc65385dbde70b26c57c564ede309c0aa386197a91e078b2', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 2, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 0, "keep_epochs": [1], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": true}', 1, 'done', 0, 1, 0, false, NULL, '{"best_epoch": 1, "best_accuracy": 0.05, "epochs": 2, "images_left_out": 0, "first_layer": {"filters": 64, "rms_least": 0.10485800355672836, "rms_median": 0.11479351669549942, "rms_largest": 0.13124781847000122, "dead": 0, "dominating": 0}}', '2026-11-22 14:27:46.586294+00', '2026-11-22 14:27:50.686769+00', '2026-11-22 14:28:00.086776+00', 21043730, 0);
INSERT INTO public.jobs VALUES (10, 'top9', '681c268d2129842144b67f60a72cd30f79b41096b4c9739e1446ff173e10dba4', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "split": "val", "image_count": 20, "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_sha256": "f40bcf6c608325387bbd89fda9a425069df5881ccc7de70e504bd066cf4faaaf", "weights_path": "f4/f40bcf6c608325387bbd89fda9a425069df5881ccc7de70e504bd066cf4faaaf.safetensors", "training_job_id": null, "layers": [{"layer": "conv1", "path": "features.0", "units": [0, 1, 2]}, {"layer": "conv5", "path": "features.10", "units": [0, 1, 2]}], "top": 9, "bottom": true, "per_class": true, "projection": "deconvnet", "shards": 2}', 1, 'queued', 0, 7, 7, false, NULL, NULL, '2026-11-22 14:29:24.251605+00', NULL, NULL, 0, 0);
INSERT INTO public.jobs VALUES (3, 'occlusion', '7e62342f3344b6c0d800ce193215c1581749cf027111e90cc2816fa19e571846', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "split": "val", "images": [11, 31], "whole_files": false, "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_sha256": "b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a", "weights_path": "b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors", "training_job_id": 1, "layer": "conv5", "path": "features.10", "unit": null, "target": 4, "patch": 16, "stride": 16, "fill": "grey", "seed": 0, "engine": "auto", "approximate": 0.0, "memory_mb": 1024, "positions": true, "top9_key": null, "top9_job_id": null, "shards": null}', 1, 'done', 2, 3, 0, false, NULL, '{"images": 2, "images_left_out": 0, "positions": 16, "computed_share": 1.0, "engine": "incremental", "images_whose_class_changes": 0, "mean_drop": 5.17279583750474e-10}', '2026-11-22 14:28:13.115213+00', '2026-11-22 14:28:13.210851+00', '2026-11-22 14:28:16.23857+00', 664767, 0);
INSERT INTO public.jobs VALUES (2, 'top9', '3512ac313578f72caeb283511f6a1f81425d12c09bb2a799f8c20829d1692654', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "split": "val", "image_count": 20, "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_sha256": "b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a", "weights_path": "b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors", "training_job_id": 1, "layers": [{"layer": "conv1", "path": "features.0", "units": [0, 1, 2]}, {"layer": "conv5", "path": "features.10", "units": [0, 1, 2]}], "top": 9, "bottom": true, "per_class": true, "projection": "deconvnet", "shards": 2}', 1, 'done', 3, 7, 0, false, NULL, '{"images": 20, "images_left_out": 0, "layers": [{"layer": "conv1", "units": 3, "dead": 0, "rows": 27}, {"layer": "conv5", "units": 3, "dead": 0, "rows": 27}]}', '2026-11-22 14:28:04.368745+00', '2026-11-22 14:28:04.538423+00', '2026-11-22 14:28:10.66037+00', 1237391, 0);
INSERT INTO public.jobs VALUES (4, 'train', 'a74e573e91db7a974329668d9cb4d28eb02328d49fc33f03704f59112af62449', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 3, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 0, "keep_epochs": [1], "weights_sha256": null, "weights_path": null, "extended_sha256": "0afee090f2d3e6a5eca374036f6258ec58848fd0916a954d02062b91656cd242", "extended_path": "0a/0afee090f2d3e6a5eca374036f6258ec58848fd0916a954d02062b91656cd242.pt", "extended_job_id": 1, "extended_epochs": 2, "tensorboard": false}', 1, 'done', 0, 1, 0, false, NULL, '{"best_epoch": 1, "best_accuracy": 0.05, "epochs": 3, "images_left_out": 0, "first_layer": {"filters": 64, "rms_least": 0.10485800355672836, "rms_median": 0.11479351669549942, "rms_largest": 0.13124781847000122, "dead": 0, "dominating": 0}}', '2026-11-22 14:28:19.544819+00', '2026-11-22 14:28:19.679741+00', '2026-11-22 14:28:23.224989+00', 10628350, 0);
INSERT INTO public.jobs VALUES (5, 'train', '5512686e1dacc1aa18e0a9820cc3705491bf1adcca3e255202248698f2a99617', 0, '{"dataset_id": 2, "dataset_fingerprint": "56c0f6ba1680837b1bda2e6cec2a7444ef267a5d73d4521f14357ff5723d5057", "network": {"name": "zfnet", "classes": 2, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 1, "batch_size": 128, "optimizer": "adam", "learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "default", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 4, "val_count": 4, "train_per_class": null, "seed": 0, "keep_epochs": [1, 2, 5, 10, 20, 30, 40, 64], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": false}', 2, 'failed', 0, 1, 1, false, 'None of the 4 images could be read. Is the data set''s root /datasets/pictures in place, and does this worker see it? `analyze logs 5` has the reasons.', NULL, '2026-11-22 14:28:36.561115+00', '2026-11-22 14:28:36.678644+00', '2026-11-22 14:28:36.831499+00', 0, 0);
INSERT INTO public.jobs VALUES (6, 'train', '78c3f6be890831bb5c8b3c15a06154fc748a4d5ab45136a11ce9eca3f85a7de5', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 5000, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 0, "keep_epochs": [1, 2, 5, 10, 20, 30, 40, 64], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": false}', 1, 'cancelled', 0, 1, 1, true, NULL, NULL, '2026-11-22 14:28:40.000094+00', '2026-11-22 14:28:40.142583+00', '2026-11-22 14:28:42.950661+00', 0, 0);
INSERT INTO public.jobs VALUES (7, 'top9', '4822fdac1f1ed226b94fe8be42bd6689d895ac691edcebf23bc7f469db554d65', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "split": "val", "image_count": 20, "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_sha256": "b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a", "weights_path": "b5/b52727a96ff4fae6fb6fdf39afa1db33bb00530b01c3654f033e809505ee218a.safetensors", "training_job_id": 4, "layers": [{"layer": "conv1", "path": "features.0", "units": [0, 1, 2]}, {"layer": "conv5", "path": "features.10", "units": [0, 1, 2]}], "top": 5, "bottom": true, "per_class": true, "projection": "deconvnet", "shards": 2}', 1, 'running', 1, 7, 6, false, NULL, NULL, '2026-11-22 14:28:51.401906+00', '2026-11-22 14:28:56.629398+00', NULL, 21456, 0);
INSERT INTO public.jobs VALUES (8, 'train', '25ff72d61ac3a693f4969f14ee7cedc09605492e650e99ed210f55285d7ca8ba', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 1, "keep_epochs": [1, 2, 5, 10, 20, 30, 40, 64], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": false}', 1, 'running', 0, 1, 1, false, NULL, NULL, '2026-11-22 14:29:03.488566+00', '2026-11-22 14:29:03.606877+00', NULL, 0, 0);
INSERT INTO public.jobs VALUES (9, 'train', '534fa668906f70cf03ee19588564d052592e32d591031eff6e272db4875bdea1', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 2, "keep_epochs": [1, 2, 5, 10, 20, 30, 40, 64], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": false}', 1, 'queued', 0, 1, 1, false, NULL, NULL, '2026-11-22 14:29:07.10487+00', NULL, NULL, 0, 0);
INSERT INTO public.jobs VALUES (11, 'occlusion', '4ffd1ea68b71f0de597552d3620120fdf811f496a8ac98d7f0159f9592de0934', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "split": "val", "images": [22], "whole_files": false, "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "weights_sha256": "f40bcf6c608325387bbd89fda9a425069df5881ccc7de70e504bd066cf4faaaf", "weights_path": "f4/f40bcf6c608325387bbd89fda9a425069df5881ccc7de70e504bd066cf4faaaf.safetensors", "training_job_id": null, "layer": "conv5", "path": "features.10", "unit": null, "target": 4, "patch": 16, "stride": 16, "fill": "grey", "seed": 0, "engine": "auto", "approximate": 0.0, "memory_mb": 1024, "positions": true, "top9_key": null, "top9_job_id": null, "shards": null}', 1, 'queued', 0, 3, 3, false, NULL, NULL, '2026-11-22 14:29:38.864137+00', NULL, NULL, 0, 0);
INSERT INTO public.jobs VALUES (12, 'train', '1199f302f6c235077c2751311910988b5b3e1b5bdfb9f64414b7d26faf8b04ac', 0, '{"dataset_id": 1, "dataset_fingerprint": "7381d98eb0012b980f643756491491754b1abf58985884a65ab6887820349747", "network": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "recipe_name": "zfnet", "recipe": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.0005, "momentum": 0.9, "weight_decay": 0.0, "schedule": "step", "lr_step": 15, "lr_gamma": 0.1, "patience": 5, "flip": 0.5, "crop_padding": 0, "init": "he", "filter_rms": null, "precision": "auto", "freeze": [], "rates": {}}, "train_split": "train", "val_split": "val", "train_count": 20, "val_count": 20, "train_per_class": null, "seed": 3, "keep_epochs": [1, 2, 5, 10, 20, 30, 40, 64], "weights_sha256": null, "weights_path": null, "extended_sha256": null, "extended_path": null, "extended_job_id": null, "extended_epochs": 0, "tensorboard": false}', 1, 'cancelled', 0, 1, 1, true, NULL, NULL, '2026-11-22 14:29:42.021431+00', NULL, '2026-11-22 14:29:44.998768+00', 0, 0);
INSERT INTO public.networks VALUES ('22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', '{"specification": {"name": "zfnet", "classes": 20, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "chain": true, "layers": [{"path": "features.0", "name": "conv1", "kind": "Conv2d", "output_shape": [64, 31, 31], "parameters": 9472, "receptive_field": 7, "stride": 2, "start": -2}, {"path": "features.1", "name": null, "kind": "ReLU", "output_shape": [64, 31, 31], "parameters": 0, "receptive_field": 7, "stride": 2, "start": -2}, {"path": "features.2", "name": null, "kind": "MaxPool2d", "output_shape": [64, 15, 15], "parameters": 0, "receptive_field": 11, "stride": 4, "start": -2}, {"path": "features.3", "name": "conv2", "kind": "Conv2d", "output_shape": [192, 8, 8], "parameters": 307392, "receptive_field": 27, "stride": 8, "start": -10}, {"path": "features.4", "name": null, "kind": "ReLU", "output_shape": [192, 8, 8], "parameters": 0, "receptive_field": 27, "stride": 8, "start": -10}, {"path": "features.5", "name": null, "kind": "MaxPool2d", "output_shape": [192, 3, 3], "parameters": 0, "receptive_field": 43, "stride": 16, "start": -10}, {"path": "features.6", "name": "conv3", "kind": "Conv2d", "output_shape": [384, 3, 3], "parameters": 663936, "receptive_field": 75, "stride": 16, "start": -26}, {"path": "features.7", "name": null, "kind": "ReLU", "output_shape": [384, 3, 3], "parameters": 0, "receptive_field": 75, "stride": 16, "start": -26}, {"path": "features.8", "name": "conv4", "kind": "Conv2d", "output_shape": [256, 3, 3], "parameters": 884992, "receptive_field": 107, "stride": 16, "start": -42}, {"path": "features.9", "name": null, "kind": "ReLU", "output_shape": [256, 3, 3], "parameters": 0, "receptive_field": 107, "stride": 16, "start": -42}, {"path": "features.10", "name": "conv5", "kind": "Conv2d", "output_shape": [256, 3, 3], "parameters": 590080, "receptive_field": 139, "stride": 16, "start": -58}, {"path": "features.11", "name": null, "kind": "ReLU", "output_shape": [256, 3, 3], "parameters": 0, "receptive_field": 139, "stride": 16, "start": -58}, {"path": "features.12", "name": null, "kind": "MaxPool2d", "output_shape": [256, 1, 1], "parameters": 0, "receptive_field": 171, "stride": 32, "start": -58}, {"path": "avgpool", "name": null, "kind": "AdaptiveAvgPool2d", "output_shape": [256, 6, 6], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.0", "name": null, "kind": "Dropout", "output_shape": [9216], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.1", "name": "fc6", "kind": "Linear", "output_shape": [16], "parameters": 147472, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.2", "name": null, "kind": "ReLU", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.3", "name": null, "kind": "Dropout", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.4", "name": "fc7", "kind": "Linear", "output_shape": [16], "parameters": 272, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.5", "name": null, "kind": "ReLU", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.6", "name": "fc8", "kind": "Linear", "output_shape": [20], "parameters": 340, "receptive_field": null, "stride": null, "start": null}], "parameters": 2603956, "bytes": 10415824}');
INSERT INTO public.networks VALUES ('4edb33ba69dd934e7e15649246fec4111741d318bda6851d6f5513b9503f8b66', 'zfnet', '{"specification": {"name": "zfnet", "classes": 2, "image_size": 64, "fc": 16, "maps": null, "without": [], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "chain": true, "layers": [{"path": "features.0", "name": "conv1", "kind": "Conv2d", "output_shape": [64, 31, 31], "parameters": 9472, "receptive_field": 7, "stride": 2, "start": -2}, {"path": "features.1", "name": null, "kind": "ReLU", "output_shape": [64, 31, 31], "parameters": 0, "receptive_field": 7, "stride": 2, "start": -2}, {"path": "features.2", "name": null, "kind": "MaxPool2d", "output_shape": [64, 15, 15], "parameters": 0, "receptive_field": 11, "stride": 4, "start": -2}, {"path": "features.3", "name": "conv2", "kind": "Conv2d", "output_shape": [192, 8, 8], "parameters": 307392, "receptive_field": 27, "stride": 8, "start": -10}, {"path": "features.4", "name": null, "kind": "ReLU", "output_shape": [192, 8, 8], "parameters": 0, "receptive_field": 27, "stride": 8, "start": -10}, {"path": "features.5", "name": null, "kind": "MaxPool2d", "output_shape": [192, 3, 3], "parameters": 0, "receptive_field": 43, "stride": 16, "start": -10}, {"path": "features.6", "name": "conv3", "kind": "Conv2d", "output_shape": [384, 3, 3], "parameters": 663936, "receptive_field": 75, "stride": 16, "start": -26}, {"path": "features.7", "name": null, "kind": "ReLU", "output_shape": [384, 3, 3], "parameters": 0, "receptive_field": 75, "stride": 16, "start": -26}, {"path": "features.8", "name": "conv4", "kind": "Conv2d", "output_shape": [256, 3, 3], "parameters": 884992, "receptive_field": 107, "stride": 16, "start": -42}, {"path": "features.9", "name": null, "kind": "ReLU", "output_shape": [256, 3, 3], "parameters": 0, "receptive_field": 107, "stride": 16, "start": -42}, {"path": "features.10", "name": "conv5", "kind": "Conv2d", "output_shape": [256, 3, 3], "parameters": 590080, "receptive_field": 139, "stride": 16, "start": -58}, {"path": "features.11", "name": null, "kind": "ReLU", "output_shape": [256, 3, 3], "parameters": 0, "receptive_field": 139, "stride": 16, "start": -58}, {"path": "features.12", "name": null, "kind": "MaxPool2d", "output_shape": [256, 1, 1], "parameters": 0, "receptive_field": 171, "stride": 32, "start": -58}, {"path": "avgpool", "name": null, "kind": "AdaptiveAvgPool2d", "output_shape": [256, 6, 6], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.0", "name": null, "kind": "Dropout", "output_shape": [9216], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.1", "name": "fc6", "kind": "Linear", "output_shape": [16], "parameters": 147472, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.2", "name": null, "kind": "ReLU", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.3", "name": null, "kind": "Dropout", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.4", "name": "fc7", "kind": "Linear", "output_shape": [16], "parameters": 272, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.5", "name": null, "kind": "ReLU", "output_shape": [16], "parameters": 0, "receptive_field": null, "stride": null, "start": null}, {"path": "classifier.6", "name": "fc8", "kind": "Linear", "output_shape": [2], "parameters": 34, "receptive_field": null, "stride": null, "start": null}], "parameters": 2603650, "bytes": 10414600}');
INSERT INTO public.occlusion_jobs VALUES (3, 'd0/d0dd5145671367ffde1a3a7c85bc9cb7639361917c0040be85932d71bcd8bc3b.jpg');
INSERT INTO public.occlusion_map_rows VALUES (3, 12, 'conv5', 'features.10', 220, 28.700897336006165, 0.04992687261825674, 'plain-star', 16, 16, NULL, 26.529993057250977, 16, 16, 0.04992687329649925, 0, 0, 0, NULL, 'striped-square', 0.05001956037900704, 0.050019558519124985, 0.050019558519124985, NULL, NULL, 'incremental', '7c/7c017cffea89e97dbced75181ca19718c7a65fcb11a4f44157a3dc270c1c69e3.npz', '1c/1c45dedf07a736bc93bbe7cf4d206cc1bab030c2360421872573e0009c78bc72.png', 'a2/a2e263a6bedf6a19b79a2f70232dcbd1309b06dd71de6fdd6e7181eca5260eae.png', '8d/8d63ca3d1f620d606de6e236ee4ab116ddd669c53ab4b591986fe9fe56052ae5.png');
INSERT INTO public.occlusion_map_rows VALUES (3, 32, 'conv5', 'features.10', 220, 27.141127288341522, 0.050037694945099576, 'plain-star', 16, 16, NULL, 24.867807388305664, 16, 32, 0.0500376932322979, 0, 0, 0, NULL, 'striped-square', 0.05001956037900704, 0.050019558519124985, 0.050019558519124985, NULL, NULL, 'incremental', '26/260cb0e34e410bff8a9c9b711e5a0c014c85b4b241be4ce3a08f51864139fe3b.npz', '34/34de8cf092ae55c8842dc9c9d863d96cbc2255d5c2fd6b9f831b03316064329a.png', '01/015a5f9c6d66166f32200e4074a2a6b08ef7ce63cf68fe728840c0e4b4fffc32.png', 'ca/ca08260507a87178b8d5eca58bf4f518585e2703ea80dd6e6d7c0ce20949fbc3.png');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 0, 0, 27.855554580688477, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 0, 16, 27.585681915283203, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 0, 32, 28.18370246887207, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 0, 48, 28.621932983398438, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 16, 0, 27.609397888183594, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 16, 16, 26.529993057250977, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 16, 32, 27.751937866210938, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 16, 48, 28.48656463623047, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 32, 0, 27.850635528564453, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 32, 16, 28.28972625732422, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 32, 32, 28.6685848236084, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 32, 48, 28.339487075805664, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 48, 0, 28.421201705932617, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 48, 16, 28.28750228881836, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 48, 32, 28.940929412841797, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 12, 48, 48, 28.85172462463379, 0.04992687329649925, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 0, 0, 27.082351684570312, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 0, 16, 26.697641372680664, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 0, 32, 26.360074996948242, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 0, 48, 27.131275177001953, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 16, 0, 26.85027313232422, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 16, 16, 25.600915908813477, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 16, 32, 24.867807388305664, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 16, 48, 27.126134872436523, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 32, 0, 26.773632049560547, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 32, 16, 26.17444610595703, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 32, 32, 26.85160255432129, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 32, 48, 27.308273315429688, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 48, 0, 27.241390228271484, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 48, 16, 27.252891540527344, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 48, 32, 26.578243255615234, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.occlusion_position_rows VALUES (3, 32, 48, 48, 27.047204971313477, 0.0500376932322979, 0.050019558519124985, 'plain-star');
INSERT INTO public.removed_jobs VALUES (13, 'train', 'train zfnet, 1 epochs', 'shapes', '2026-11-26 21:13:02.828611+00', '2026-11-26 21:13:02.896039+00');
INSERT INTO public.searched_layers VALUES (1, 2, 'conv1', 'features.0', '0b/0ba9520199f7a24dcd623402b776b2f71f4cbccce7d6fcf0260cc05814bb01ed.jpg', NULL, NULL);
INSERT INTO public.searched_layers VALUES (2, 2, 'conv5', 'features.10', '60/60877557c82236cadc74a206eeac27f9e60d97537e6322b78dca38377df3ff87.jpg', NULL, NULL);
INSERT INTO public.searched_units VALUES (1, 0, false, '45/4546160c324ce587c188ad5a17d113616c0fe505559659c8cc05c539a1697ba1.png', '2a/2adbfb4b3b26fd00e6ffee1919af6d1f8e3f2e3f0da52f1a7361b9a316f2f114.png', NULL, NULL);
INSERT INTO public.searched_units VALUES (1, 1, false, '30/30e838c29b5846333deffbc7891a6b999ac66fe8ad1ae31d764b2af4c56f8614.png', '05/051419b78f5366f5e7f498b61a66b2dea8d21402c294464e41daa5f65da0fe15.png', NULL, NULL);
INSERT INTO public.searched_units VALUES (1, 2, false, '6c/6c819513595a21bdae4c7e5829d989c28701835309166432ed56fb901cde8b32.png', '4c/4cd54bdaaba82aad1697bd344c2ca3998192fe7f10b4940c2cc761db75473308.png', NULL, NULL);
INSERT INTO public.searched_units VALUES (2, 0, false, '4f/4f67d6675a79c678c9eec5343b4a3ba83617f5ac64a99efb45ff0ab80f7ba691.png', '54/54e5712f5aa95e6ab47d173450e3bee894fff03b985453651b2ee47706de6ac0.png', NULL, NULL);
INSERT INTO public.searched_units VALUES (2, 1, false, 'f5/f52dc93e4dfad7f329126665ad64acbb831edf292a3854fecd52bdfea8358382.png', 'ad/ad7f5f9c12971c99a9b2744951bc70ffc7f6505b8ce699ccd46f8b6735db0126.png', NULL, NULL);
INSERT INTO public.searched_units VALUES (2, 2, false, '6c/6cf937caccb4be4b207131310deecf0d7a05ee5ff2784acab46bd7f352a47e99.png', 'f2/f207c278881ca5d6889626974ddf1b52360b5d6ce6602ecbb8016d55d9d43755.png', NULL, NULL);
INSERT INTO public.shards VALUES (34, 12, 0, 'train', 0, 'training', '{}', 'cancelled', 0, NULL, NULL, NULL, NULL, 0, 40, NULL, NULL, NULL, '2026-11-22 14:29:44.974481+00', NULL);
INSERT INTO public.shards VALUES (4, 2, 2, 'project', 2, 'analysis', '{"layer": 0, "units": [0]}', 'done', 1, NULL, NULL, 1795357685.375578, 'host-cpu-47e611', 1, 1, NULL, NULL, '2026-11-22 14:28:05.412916+00', '2026-11-22 14:28:05.845065+00', NULL);
INSERT INTO public.shards VALUES (5, 2, 2, 'project', 3, 'analysis', '{"layer": 0, "units": [1, 2]}', 'done', 1, NULL, NULL, 1795357685.375647, 'host-cpu-47e611', 2, 2, NULL, NULL, '2026-11-22 14:28:05.996502+00', '2026-11-22 14:28:06.395455+00', NULL);
INSERT INTO public.shards VALUES (14, 6, 0, 'train', 0, 'training', '{}', 'cancelled', 1, NULL, NULL, 1795357720.046766, 'host-cpu-47e611', 160, 200000, NULL, NULL, '2026-11-22 14:28:40.138897+00', '2026-11-22 14:28:42.939304+00', NULL);
INSERT INTO public.shards VALUES (17, 7, 2, 'project', 2, 'analysis', '{"layer": 0, "units": [0]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (6, 2, 2, 'project', 4, 'analysis', '{"layer": 1, "units": [0]}', 'done', 1, NULL, NULL, 1795357685.375643, 'host-cpu-47e611', 1, 1, NULL, NULL, '2026-11-22 14:28:06.595861+00', '2026-11-22 14:28:08.479979+00', NULL);
INSERT INTO public.shards VALUES (18, 7, 2, 'project', 3, 'analysis', '{"layer": 0, "units": [1, 2]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (19, 7, 2, 'project', 4, 'analysis', '{"layer": 1, "units": [0]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (20, 7, 2, 'project', 5, 'analysis', '{"layer": 1, "units": [1, 2]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (21, 7, 3, 'finish', 6, 'cpu', '{}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (7, 2, 2, 'project', 5, 'analysis', '{"layer": 1, "units": [1, 2]}', 'done', 1, NULL, NULL, 1795357685.375637, 'host-cpu-47e611', 2, 2, NULL, NULL, '2026-11-22 14:28:08.605208+00', '2026-11-22 14:28:10.224053+00', NULL);
INSERT INTO public.shards VALUES (8, 2, 3, 'finish', 6, 'cpu', '{}', 'done', 1, NULL, NULL, 1795357690.413398, 'host-cpu-47e611', 2, 2, NULL, NULL, '2026-11-22 14:28:10.436075+00', '2026-11-22 14:28:10.628989+00', NULL);
INSERT INTO public.shards VALUES (1, 1, 0, 'train', 0, 'training', '{}', 'done', 1, NULL, NULL, 1795357666.635676, 'host-cpu-47e611', 80, 80, NULL, NULL, '2026-11-22 14:27:50.676172+00', '2026-11-22 14:28:00.039177+00', NULL);
INSERT INTO public.shards VALUES (15, 7, 0, 'search', 0, 'analysis', '{"start": 0, "stop": 20}', 'done', 1, NULL, NULL, 1795357731.426374, 'host-cpu-85be8d', 20, 20, 'b4/b48dcfc6bc9792498e83e0389eec4460d7e2befe138a7e30f314c22e47d4035c.npz', NULL, '2026-11-22 14:28:56.623317+00', '2026-11-22 14:29:00.936803+00', NULL);
INSERT INTO public.shards VALUES (16, 7, 1, 'select', 1, 'cpu', '{}', 'queued', 0, NULL, NULL, 1795357740.97357, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (2, 2, 0, 'search', 0, 'analysis', '{"start": 0, "stop": 20}', 'done', 1, NULL, NULL, 1795357684.423295, 'host-cpu-47e611', 20, 20, 'b2/b2ac3190a5d216071e9be778a6d030de6ca4ef48aeaf915d6c6921560d32ff59.npz', NULL, '2026-11-22 14:28:04.536665+00', '2026-11-22 14:28:04.907271+00', NULL);
INSERT INTO public.shards VALUES (22, 8, 0, 'train', 0, 'training', '{}', 'running', 1, 'f6e008f8857bd41d6c7f8bc82f0a48a0', 1795357748.373682, 1795357743.527551, 'host-cpu-85be8d', 0, 40, NULL, NULL, '2026-11-22 14:29:03.596958+00', NULL, NULL);
INSERT INTO public.shards VALUES (23, 9, 0, 'train', 0, 'training', '{}', 'queued', 0, NULL, NULL, NULL, NULL, 0, 40, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (24, 10, 0, 'search', 0, 'analysis', '{"start": 0, "stop": 20}', 'queued', 0, NULL, NULL, NULL, NULL, 0, 20, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (25, 10, 1, 'select', 1, 'cpu', '{}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (26, 10, 2, 'project', 2, 'analysis', '{"layer": 0, "units": [0]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (27, 10, 2, 'project', 3, 'analysis', '{"layer": 0, "units": [1, 2]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (12, 4, 0, 'train', 0, 'training', '{}', 'done', 1, NULL, NULL, 1795357699.611543, 'host-cpu-47e611', 40, 40, NULL, NULL, '2026-11-22 14:28:19.673263+00', '2026-11-22 14:28:23.193551+00', NULL);
INSERT INTO public.shards VALUES (9, 3, 0, 'sweep', 0, 'analysis', '{"start": 0, "stop": 2}', 'done', 1, NULL, NULL, 1795357693.146109, 'host-cpu-47e611', 2, 2, NULL, NULL, '2026-11-22 14:28:13.202858+00', '2026-11-22 14:28:14.516885+00', NULL);
INSERT INTO public.shards VALUES (3, 2, 1, 'select', 1, 'cpu', '{}', 'done', 1, NULL, NULL, 1795357684.976987, 'host-cpu-47e611', 1, 1, '17/1724931c7e693cb9e0dc9804f139da228304f63c9429fb4724cfa096acf0ee61.npz', NULL, '2026-11-22 14:28:05.066864+00', '2026-11-22 14:28:05.323026+00', NULL);
INSERT INTO public.shards VALUES (28, 10, 2, 'project', 4, 'analysis', '{"layer": 1, "units": [0]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (29, 10, 2, 'project', 5, 'analysis', '{"layer": 1, "units": [1, 2]}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (30, 10, 3, 'finish', 6, 'cpu', '{}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (31, 11, 0, 'sweep', 0, 'analysis', '{"start": 0, "stop": 1}', 'queued', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (32, 11, 1, 'draw', 1, 'cpu', '{"start": 0, "stop": 1}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (33, 11, 2, 'finish', 2, 'cpu', '{}', 'waiting', 0, NULL, NULL, NULL, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.shards VALUES (13, 5, 0, 'train', 0, 'training', '{}', 'failed', 1, NULL, NULL, NULL, 'host-cpu-47e611', 0, 8, NULL, 'None of the 4 images could be read. Is the data set''s root /datasets/pictures in place, and does this worker see it? `analyze logs 5` has the reasons.', '2026-11-22 14:28:36.674763+00', '2026-11-22 14:28:36.827472+00', NULL);
INSERT INTO public.shards VALUES (10, 3, 1, 'draw', 1, 'cpu', '{"start": 0, "stop": 2}', 'done', 1, NULL, NULL, 1795357694.596867, 'host-cpu-47e611', 2, 2, '0f/0fce31e580b8faf573927a45d68a37d1da25cc940ddb4a70ecbe0406ae146e11.npz', NULL, '2026-11-22 14:28:14.637888+00', '2026-11-22 14:28:16.099422+00', NULL);
INSERT INTO public.shards VALUES (11, 3, 2, 'finish', 2, 'cpu', '{}', 'done', 1, NULL, NULL, 1795357696.163393, 'host-cpu-47e611', 2, 2, NULL, NULL, '2026-11-22 14:28:16.184281+00', '2026-11-22 14:28:16.216724+00', NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 1, 2.000882387161255, 19, 15, 13, 'cb/cbda35db778cbe9bd8bc37b614343bec3e8755af93643cb75304fc862b40d8b4.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.6817888617515564, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 2, 1.9619007110595703, 28, 11, 25, '24/24c070ea045fce781281747321b88a79870004684006d0179cda25a2cff5eff3.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.6685060858726501, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 3, 1.792945384979248, 31, 23, 27, 'ec/ec1bfbecdee56d57333e5d4b3051bb81673460325f1a9d6d2e068923f473d5af.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.6109355688095093, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 4, 1.7837779521942139, 16, 6, 18, 'ea/eabc5f383ca74be845aa4f8d64fb44db693bfe5084ea90d5bed5891c2b081b0c.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.6078118085861206, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 5, 1.7515031099319458, 32, 13, 12, '9e/9e10d0db5ed55aae59fc50a50a75d0b691103b9f93f05ef7c1aa4ee238538d4a.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.5968143939971924, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 6, 1.7467477321624756, 11, 2, 19, 'ab/abd47fc149d99a6d209d786143629038aa901dddd6708715349d57521502a49d.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.5951939821243286, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 7, 1.7349472045898438, 15, 1, 15, 'e8/e8622bfc0d9295dc3f8388a88cdc79a58c8f60a866fb5b43a0b646cb62dafeb9.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.5911730527877808, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 8, 1.690973162651062, 20, 4, 23, 'fc/fc2a54b981f2449f56058090b1cf51bdde83d7eb5ba746b2d7a072fa4b4c5258.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.5761891603469849, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 0, 9, 1.5544281005859375, 27, 12, 22, '11/111c7bf1bebac022addc2d769cecd2b9881690d5c75a5e5fc73dfb1bce00be30.png', 'de/de191d271d06b1e7bbc8915acf5e1e0d490ec37b8fb42ed21f73d79a7cb1db61.png', 0.5296621918678284, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 1, 2.5402417182922363, 20, 10, 20, '13/13b8a24e278cf751153f18749ba30829926c520d84ef60e4438a293416e7bc6b.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.9658030867576599, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 2, 2.498133897781372, 27, 17, 8, 'fe/fe86354031dd301bf7b7bfb3582562868364b6fb4da50dbffc51e42496327779.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.9497936367988586, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 3, 2.2219486236572266, 40, 4, 23, 'ed/ed6d2cf22d080f68c7673ca4a90d30146960a54d8ae24b5aec19699b9b69c24b.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.8447876572608948, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 4, 2.0507826805114746, 4, 10, 17, '2f/2f7d7a7070ef5eab376eca0730f2f63bd77be7a67aecea468b16460c35a901b0.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.7797101140022278, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 5, 2.001113176345825, 24, 10, 16, 'af/afdb5d5b48018a3afa5b8ba0a669d38c8cf7b56447bf68fc65a66917b6c7dd05.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.7608257532119751, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 6, 1.9865955114364624, 39, 12, 10, '20/202755bfbebc4071cc9d97f79320ed2d9c28e9889d76a3f76c3c7786a6ac9595.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.7553061246871948, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 7, 1.9502121210098267, 23, 27, 25, 'e4/e4081f1afe8a1755282a03788a9b8d88b24e2646c3409606eef1866a5c05fbfc.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.7414730787277222, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 8, 1.791996955871582, 32, 26, 22, 'b2/b280e45f21e2b1f3cf916f9530bfc407e6a48e184f17920d7bc643380d503131.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.6813194751739502, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 1, 9, 1.7518835067749023, 31, 17, 21, 'be/be32503e749b2602e8fbadca647a1664745de6e33325c60b31a7d13112bc15d5.png', 'cd/cdbee341d1bb5721327207872b60fb4703da4af2fe862e3e331af4dfa180ee3e.png', 0.6660683155059814, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 1, 2.1065938472747803, 16, 19, 14, 'fc/fcdfc2041896a9d1b24ca483aa43beb81bd9b7a9c2b93573e45ee0a9c4f6dfc9.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.8036252856254578, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 2, 2.0568461418151855, 35, 19, 25, '41/417a24781ca13eb4a90e2fb3c5e2d045e3069d5bbb503ab3ee41508a0e2e2708.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.7846474647521973, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 3, 1.930412769317627, 11, 12, 27, '8d/8d55f2aaeb41153a3aa71f4e723ba9ddaab34786b80fa5bd193f698695642d2d.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.7364155650138855, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 4, 1.8710702657699585, 36, 3, 11, 'c8/c89b8aedcf238a634ee63f87babc4ceb012e55aece81fe560863579e0b2b5bcb.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.7137775421142578, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 5, 1.7359265089035034, 28, 21, 10, 'ab/aba894d73452bd1909dc1ec3076da4ffa5f8d86cd758a8ffa24fdde85bc6e447.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.6622227430343628, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 6, 1.7282264232635498, 39, 12, 25, 'bd/bdf3d6bb8fb3ef747b3ed92417da6207fbf224acf1fe226b3a3126ea750f8212.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.659285306930542, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 7, 1.7235742807388306, 32, 3, 14, '26/26b01cc34fcee24c7b4fc343eb6bfecbeb109dc004712678dec6b94b603c0faa.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.6575106382369995, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 8, 1.7072181701660156, 8, 1, 3, '73/7389f0edc6712f38b7a865a30e73f9b48fdcc6aec95e432c434f490aac41f562.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.6512711048126221, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (1, 2, 9, 1.5811023712158203, 12, 18, 6, '39/39a6b763c8f1ee3e7ed63c79de82884e2b2d99eb8c4d4abef270e579a0911181.png', 'fa/faf0fe4ad873387169e00845c1c4f5f46a58fe7221a5f0f2eab258f0e04ae2ea.png', 0.6031603217124939, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 1, 4.0596723556518555, 16, 0, 1, 'b3/b39ecc478e7236ecd8f54860b58a833b26ec8292d9a0702e1f4ec49866e3de8d.png', 'c2/c26c51f29019757aaf38148b041fd995872144c079af0f4aba026975753f58b7.png', 0.20281246304512024, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 2, 3.9080827236175537, 39, 0, 1, '52/52d3be30028aecee4aaec22d34c38c350f91e92b867fa4c18bcd0c9282bd6dbe.png', '22/2285dbd3a853c0353dbc073ee94e51ca89a705b4e1621506f4b568ba83de754f.png', 0.30611616373062134, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 3, 3.850297451019287, 19, 0, 1, 'af/afc9bacdd30a90323c8e86597602fc890643ffe1667ad6059ff8218299d1fd1f.png', 'f9/f90ebc47f2ec5e96120e995fe718906ffff238c5538f7118930edc4e5b156148.png', 0.23825590312480927, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 4, 3.566500186920166, 31, 0, 1, 'be/bebfcb9d4851713cd4b2a604d7e69a4126df774c7a13ad7bc8e3c1b157316f4e.png', 'f7/f789cb588d33b1e0cb44a83893a46389ac8ad62a0a454dfb157b90aac718cfbc.png', 0.23717476427555084, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 5, 3.551100015640259, 11, 0, 1, '8e/8e47e59344e93553040c2fe47d2f2b5d7f4ba6ed42032de28c8fcaaa20a63790.png', 'ca/caec6d7e9e77caee4bd2c9fc766c7258dc8015ce0f2bf725e43733db3e050c78.png', 0.22126448154449463, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 6, 3.3667311668395996, 32, 0, 1, 'd4/d495efe614e799a4aa12b05fba50d1d32dfdedfdc69ea0e4720eaaea5ba3de87.png', '21/21b2f47aadbe67cdd09efbf5c66b012eadee5171db3ba0ea493559616f52f1b7.png', 0.27462196350097656, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 7, 3.353569746017456, 12, 0, 1, '0a/0a5e4a1824686350630422a80ad76ae36217332ec4588ae99f7ad70ed6c6bdab.png', '9f/9f7662e4429d846fe3b41929f6ef61c1af1e04751960e459467387a58da0225c.png', 0.19279658794403076, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 8, 3.20222544670105, 4, 0, 1, '75/754a17fb1af54ff49c4201ce0c4d2e349069f1550e407f01a9d699084c989ca4.png', '41/4172c6bae646020f219376db78ea71888dda3bff6dba6fb8dc6e27d849880d89.png', 0.1807962954044342, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 0, 9, 3.1885716915130615, 24, 0, 1, 'f1/f165719d6fb97fedb0b5c96e33d030eb804fe8606e6863c8d59cbeb407095da9.png', 'ce/ce33b2f8dd954008f7fe236d3cb0779af9a64b05018b65267b03356751b5fbda.png', 0.22078421711921692, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 1, 3.0680041313171387, 31, 2, 0, '45/451625ee81a19e580b60ddda9870967d42e715eccc0c5230f18517e8113ac937.png', 'b7/b74c8f2881b2a6cfc549eca62be70b6a60ad88436a52c0aee89fcaba1bd2bf5c.png', 0.17455682158470154, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 2, 3.0418527126312256, 39, 2, 0, 'd0/d01f839c5279ea8eb1ee0b1fa4a877b41ffec0d5e75777e01fa9db22abd825a9.png', '9c/9c918f7baf64761d9873cfc2d8486e9a6dea8ae7c1dd29845eaf95a4d00c01c7.png', 0.15864914655685425, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 3, 2.901064157485962, 16, 2, 0, '0c/0c86b88638f9882c1da73345daf182f94f37b7f8bc7be38541abb5d08e6f7cde.png', '08/089ff6efb63bdbd490f396e6bf3c08f9a7395bea3c5292d99bcddced37a8c475.png', 0.11559464037418365, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 4, 2.7413692474365234, 11, 2, 0, 'be/be8a32a26ae7f25da823ac66002d2b525ffdfb2cc2d4ba0d41d044d4757ebdbc.png', '9f/9f3e32c20e103dcaade138214370ad4034d75ae61977ba902715d3db5fc28271.png', 0.1367928832769394, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 5, 2.641374349594116, 19, 2, 0, 'd0/d035db44c4c1fe50563da34df314b0d379cd7b3d81e41907e07e91e4ca315439.png', '15/1572798f541c568f55c94179491dfacbdb99aeb30b4d1afe261b9899e726f6c0.png', 0.12817831337451935, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 6, 2.61318039894104, 24, 2, 0, '71/714e6795d75d4e19846599755900d03b5da93d6a1c983f7462b9a739eed27297.png', '74/7463e79629e8235808dbd317322be81d73cf97dc9a1e1b1964573dd98248ab83.png', 0.14142440259456635, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 7, 2.5520179271698, 32, 2, 0, '3a/3a0e5337f5ddde2f01123ca106b6ea81bcce2347071923da197ca4ad6f3759ed.png', '73/7328a607413e627eace13e681eb0a127c04e6ddd71f6543bf29c9c715c3cbcff.png', 0.13665705919265747, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 8, 2.4953439235687256, 12, 2, 0, '7c/7c770fb76da0645fd2c9e0ce0bb33a75d86f70fe3a2f8e7d011c8e58106da69b.png', '2f/2fde2801f8ba461f7c088cdaed0d274bd06e9cc849a9b57137ef99b587676a80.png', 0.09682424366474152, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 1, 9, 2.414153575897217, 7, 2, 0, 'c5/c55ba3ae991f6f6d4396e94ee949dd24be5b3a8213fec57ff3b1dc66b014a6a6.png', 'a6/a606272d9769cccf02832bcd926b7bdf8f175ccb19e3751c848e5ba4f7410f73.png', 0.12211516499519348, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 1, 1.003199577331543, 28, 0, 2, '16/16caa49bb55044a5913984afc1bb599d15a1a53c8181a1068ca3c6db2c5fc348.png', '2b/2b214d80048c5f20f5cc00cb2a789f324b217b71dabf30f1abe99edfea878f27.png', 0.050861477851867676, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 2, 0.9685075283050537, 11, 0, 2, '61/61b3c7405b6bf98c30241b1b98db820b696e8428dc2b55c15dc014e347765a6e.png', 'b3/b36d41e397689c4e34f8d664a6e721f37d9d1e93a9b70345bcb3e1e97a809f9d.png', 0.04301789030432701, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 3, 0.8642746806144714, 19, 0, 2, '75/75334fa035d95d0b82cbdb81834da0c0ff1467b989ba7358f2a7dc0379cf0d2f.png', '3b/3b2b0dec71053cf0862dc472f80e61f519360c20b90542472fd39211ab8cb763.png', 0.042260557413101196, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 4, 0.7876507043838501, 12, 0, 2, '8f/8f32110e165868bf2fb94af0444e2dd8bf950a291a7a6ce59569967946118523.png', 'f8/f8b361093129ef2b8dd25bef945bf3b0aeaabc48b5b0d6575bac31b46d00d9d7.png', 0.03421608731150627, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 5, 0.6813459992408752, 16, 0, 2, 'c7/c7871478f104968da5dabef34cf119f4b3c2ad1d781123599cbb76791bb67480.png', '1a/1a00d2e23e64c5ec7b3bec882e2c3fafcaec909b0e2ce548633b38db3665d555.png', 0.028101719915866852, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 6, 0.590728759765625, 31, 0, 2, 'fc/fc52c9e0163d92f0188a91f335d5f813a59af33d5706e9699e4671be8ff61e5b.png', '01/01ffae79717f5cd1b9049c1e9c90931749a537f285def182c55de22a27ece80a.png', 0.0302736833691597, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 7, 0.5873185396194458, 36, 0, 2, '40/40840a76aa731d1d9864eb77cd73e8b8f89d0bb3f86a723cbbd040888e42d761.png', 'a4/a47cb587f2d391c47331bbb6963865b52a077de76e93c02b691492a9ce61de19.png', 0.027666505426168442, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 8, 0.48599931597709656, 40, 0, 2, '09/098dee69c1235f3496e7b4f51639098174897f73a76251b971d2172c8a91c2ab.png', 'e6/e69525e200b7b793be06080a374785573e150c09bd56c2086609234c1c452c5e.png', 0.021572066470980644, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.top_activation_rows VALUES (2, 2, 9, 0.4375231862068176, 8, 0, 2, 'ee/ee11cf2042d79012a9ca32691532fc3d16caa458c9c7058cc7fed5ab92d0023b.png', '72/72ae79033ab597d24d8e64ab1b34ff8fcce0f7ed63cbaa9aea32b539eaeebb8f.png', 0.019078055396676064, false, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.training_runs VALUES (1, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 2, 1, 0.05, '73/736ef4ffdbc08e15caac0035af460522b1e9b027c276342161d0bb089677d4b0.png', '39/392dc9b524f0286d29b648ca61cc2503a92df169351763473b6943c660f3df13.png', '5d/5d9f0d5b188a792a00bd2d80cd53765faa2ac442a8d85f864accf7553e7bc2b6.png', '{"unitscope": "0.1.0", "python": "3.11.7", "torch": "2.14.1+cu130", "torchvision": "0.29.1", "pillow": "13.0.0", "device": "x86_64", "device_kind": "cpu", "threads": 1, "precision": "float32", "first_layer_filter_rms": null}');
INSERT INTO public.training_runs VALUES (4, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 3, 1, 0.05, '19/197401c1bede5af5f106e7687fc2a56447f51071ba28795a9f4347d88bf79c25.png', 'c3/c3891751fb722362735b0457eba70e67d76dde366e8742b1a63c298db55f7e99.png', '6f/6f2954c1c580d08f9e614158c5155b877cd263a9d64b55ef246d77f3fd63085d.png', '{"unitscope": "0.1.0", "python": "3.11.7", "torch": "2.14.1+cu130", "torchvision": "0.29.1", "pillow": "13.0.0", "device": "x86_64", "device_kind": "cpu", "threads": 1, "precision": "float32", "first_layer_filter_rms": null}');
INSERT INTO public.training_runs VALUES (5, 2, '4edb33ba69dd934e7e15649246fec4111741d318bda6851d6f5513b9503f8b66', 'zfnet', 1, NULL, NULL, NULL, NULL, NULL, '{"unitscope": "0.1.0", "python": "3.11.7", "torch": "2.14.1+cu130", "torchvision": "0.29.1", "pillow": "13.0.0", "device": "x86_64", "device_kind": "cpu", "threads": 1, "precision": "float32", "first_layer_filter_rms": null}');
INSERT INTO public.training_runs VALUES (6, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 5000, 1, 0.05, NULL, NULL, NULL, '{"unitscope": "0.1.0", "python": "3.11.7", "torch": "2.14.1+cu130", "torchvision": "0.29.1", "pillow": "13.0.0", "device": "x86_64", "device_kind": "cpu", "threads": 1, "precision": "float32", "first_layer_filter_rms": null}');
INSERT INTO public.training_runs VALUES (8, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 1, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.training_runs VALUES (9, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 1, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.training_runs VALUES (12, 1, '22efd7ca0baa9be8b7ae855c5a932c6b9aaf6a5be430afa743736ed40f547ba9', 'zfnet', 1, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.unit_statistics_rows VALUES (1, 0, 20, 1.5018333435058593, 0.7185268402099609, 2.000882387161255, 1, 1.5001840591430664, 1.8098409175872805, 1.9934758687019347, 2.000141735315323, '[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 2, 1, 2, 0, 1, 1, 0, 0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1]', 'float32');
INSERT INTO public.unit_statistics_rows VALUES (1, 1, 20, 1.5229292899370193, 0.460756778717041, 2.5402417182922363, 1, 1.6102814674377441, 2.2495671510696416, 2.532241232395172, 2.53944166970253, '[1, 0, 1, 0, 0, 0, 1, 0, 3, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 2]', 'float32');
INSERT INTO public.unit_statistics_rows VALUES (1, 2, 20, 1.517317658662796, 0.8073412179946899, 2.1065938472747803, 1, 1.500322699546814, 1.943056106567383, 2.0971417832374573, 2.105648640871048, '[1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 2, 0, 2, 0, 1, 0, 0, 0, 1, 3, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1]', 'float32');
INSERT INTO public.unit_statistics_rows VALUES (2, 0, 20, 3.0487485587596894, 1.7084609270095825, 4.0596723556518555, 1, 3.1273672580718994, 3.856075978279114, 4.0308703255653375, 4.056792152643204, '[1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 2, 1, 1, 0, 0, 1, 1, 0, 3, 0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 1]', 'float32');
INSERT INTO public.unit_statistics_rows VALUES (2, 1, 20, 2.2400861203670503, 1.0482920408248901, 3.0680041313171387, 1, 2.397300958633423, 2.9151430130004883, 3.0630353617668153, 3.0675072543621065, '[1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 2]', 'float32');
INSERT INTO public.unit_statistics_rows VALUES (2, 2, 20, 0.3756927324458957, -0.24717602133750916, 1.003199577331543, 0.75, 0.3776603937149048, 0.8746979653835298, 0.99660808801651, 1.0025404284000397, '[1, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1]', 'float32');
INSERT INTO public.workers VALUES ('host-cpu-85be8d', 'cpu', '["analysis", "training"]', 23108, '2026-11-22 14:28:48.727845+00', 1795357744.078451, NULL, NULL, NULL);
SELECT pg_catalog.setval('public.dataset_problems_id_seq', 1, true);
SELECT pg_catalog.setval('public.datasets_id_seq', 2, true);
SELECT pg_catalog.setval('public.events_id_seq', 63, true);
SELECT pg_catalog.setval('public.evolution_layers_id_seq', 1, false);
SELECT pg_catalog.setval('public.images_id_seq', 48, true);
SELECT pg_catalog.setval('public.jobs_id_seq', 13, true);
SELECT pg_catalog.setval('public.searched_layers_id_seq', 2, true);
SELECT pg_catalog.setval('public.shards_id_seq', 35, true);
SELECT pg_catalog.setval('public.studies_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.answers
    ADD CONSTRAINT pk_answers PRIMARY KEY (job_id, true_index, answer_index);
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT pk_artifacts PRIMARY KEY (path);
ALTER TABLE ONLY public.bottom_activation_rows
    ADD CONSTRAINT pk_bottom_activation_rows PRIMARY KEY (layer_id, unit, rank);
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT pk_checkpoints PRIMARY KEY (job_id, kind, epoch);
ALTER TABLE ONLY public.class_activation_rows
    ADD CONSTRAINT pk_class_activation_rows PRIMARY KEY (layer_id, unit, class_index, rank);
ALTER TABLE ONLY public.correspondence_image_rows
    ADD CONSTRAINT pk_correspondence_image_rows PRIMARY KEY (job_id, image_id, part);
ALTER TABLE ONLY public.correspondence_jobs
    ADD CONSTRAINT pk_correspondence_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.correspondence_pair_rows
    ADD CONSTRAINT pk_correspondence_pair_rows PRIMARY KEY (job_id, part, layer, image_id, other_image_id);
ALTER TABLE ONLY public.correspondence_rows
    ADD CONSTRAINT pk_correspondence_rows PRIMARY KEY (job_id, part, layer);
ALTER TABLE ONLY public.counters
    ADD CONSTRAINT pk_counters PRIMARY KEY (name, kind, stage);
ALTER TABLE ONLY public.database_identity
    ADD CONSTRAINT pk_database_identity PRIMARY KEY (uuid);
ALTER TABLE ONLY public.dataset_problems
    ADD CONSTRAINT pk_dataset_problems PRIMARY KEY (id);
ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT pk_datasets PRIMARY KEY (id);
ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT pk_epochs PRIMARY KEY (job_id, epoch, phase);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.evolution_jobs
    ADD CONSTRAINT pk_evolution_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.evolution_layers
    ADD CONSTRAINT pk_evolution_layers PRIMARY KEY (id);
ALTER TABLE ONLY public.evolution_units
    ADD CONSTRAINT pk_evolution_units PRIMARY KEY (layer_id, unit);
ALTER TABLE ONLY public.feature_image_rows
    ADD CONSTRAINT pk_feature_image_rows PRIMARY KEY (job_id, image_number);
ALTER TABLE ONLY public.feature_map_rows
    ADD CONSTRAINT pk_feature_map_rows PRIMARY KEY (job_id, image_number, layer_number);
ALTER TABLE ONLY public.features_jobs
    ADD CONSTRAINT pk_features_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.filter_layer_rows
    ADD CONSTRAINT pk_filter_layer_rows PRIMARY KEY (job_id, network_number, layer_number);
ALTER TABLE ONLY public.filter_rows
    ADD CONSTRAINT pk_filter_rows PRIMARY KEY (job_id, network_number, layer_number, unit);
ALTER TABLE ONLY public.filters_jobs
    ADD CONSTRAINT pk_filters_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.image_splits
    ADD CONSTRAINT pk_image_splits PRIMARY KEY (split, image_id);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT pk_images PRIMARY KEY (id);
ALTER TABLE ONLY public.invariance_distance_rows
    ADD CONSTRAINT pk_invariance_distance_rows PRIMARY KEY (job_id, image_id, transformation, value, layer);
ALTER TABLE ONLY public.invariance_image_rows
    ADD CONSTRAINT pk_invariance_image_rows PRIMARY KEY (job_id, image_id);
ALTER TABLE ONLY public.invariance_jobs
    ADD CONSTRAINT pk_invariance_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.invariance_prediction_rows
    ADD CONSTRAINT pk_invariance_prediction_rows PRIMARY KEY (job_id, image_id, transformation, value);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (id);
ALTER TABLE ONLY public.left_out_images
    ADD CONSTRAINT pk_left_out_images PRIMARY KEY (job_id, image_id);
ALTER TABLE ONLY public.networks
    ADD CONSTRAINT pk_networks PRIMARY KEY (key);
ALTER TABLE ONLY public.occlusion_jobs
    ADD CONSTRAINT pk_occlusion_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.occlusion_map_rows
    ADD CONSTRAINT pk_occlusion_map_rows PRIMARY KEY (job_id, image_id);
ALTER TABLE ONLY public.occlusion_position_rows
    ADD CONSTRAINT pk_occlusion_position_rows PRIMARY KEY (job_id, image_id, "row", col);
ALTER TABLE ONLY public.probe_accuracy_rows
    ADD CONSTRAINT pk_probe_accuracy_rows PRIMARY KEY (job_id, depth, classifier, trial);
ALTER TABLE ONLY public.probe_jobs
    ADD CONSTRAINT pk_probe_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.registered_networks
    ADD CONSTRAINT pk_registered_networks PRIMARY KEY (name, factory_key);
ALTER TABLE ONLY public.removed_jobs
    ADD CONSTRAINT pk_removed_jobs PRIMARY KEY (id);
ALTER TABLE ONLY public.searched_layers
    ADD CONSTRAINT pk_searched_layers PRIMARY KEY (id);
ALTER TABLE ONLY public.searched_units
    ADD CONSTRAINT pk_searched_units PRIMARY KEY (layer_id, unit);
ALTER TABLE ONLY public.settled_unit_rows
    ADD CONSTRAINT pk_settled_unit_rows PRIMARY KEY (layer_id, epoch);
ALTER TABLE ONLY public.shards
    ADD CONSTRAINT pk_shards PRIMARY KEY (id);
ALTER TABLE ONLY public.studies
    ADD CONSTRAINT pk_studies PRIMARY KEY (id);
ALTER TABLE ONLY public.study_jobs
    ADD CONSTRAINT pk_study_jobs PRIMARY KEY (study_id, name);
ALTER TABLE ONLY public.top_activation_rows
    ADD CONSTRAINT pk_top_activation_rows PRIMARY KEY (layer_id, unit, rank);
ALTER TABLE ONLY public.training_runs
    ADD CONSTRAINT pk_training_runs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.unit_evolution_rows
    ADD CONSTRAINT pk_unit_evolution_rows PRIMARY KEY (layer_id, unit, epoch);
ALTER TABLE ONLY public.unit_label_rows
    ADD CONSTRAINT pk_unit_label_rows PRIMARY KEY (layer_id, unit, rank);
ALTER TABLE ONLY public.unit_selectivity_rows
    ADD CONSTRAINT pk_unit_selectivity_rows PRIMARY KEY (layer_id, unit, class_rank);
ALTER TABLE ONLY public.unit_statistics_rows
    ADD CONSTRAINT pk_unit_statistics_rows PRIMARY KEY (layer_id, unit);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT pk_workers PRIMARY KEY (name);
ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT uq_datasets_name UNIQUE (name);
ALTER TABLE ONLY public.evolution_layers
    ADD CONSTRAINT uq_evolution_layers_job_id_layer_path UNIQUE (job_id, layer_path);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT uq_images_dataset_id_path_object_number UNIQUE (dataset_id, path, object_number);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT uq_jobs_key_generation UNIQUE (key, generation);
ALTER TABLE ONLY public.searched_layers
    ADD CONSTRAINT uq_searched_layers_job_id_layer_path UNIQUE (job_id, layer_path);
ALTER TABLE ONLY public.shards
    ADD CONSTRAINT uq_shards_job_id_stage_number UNIQUE (job_id, stage, number);
ALTER TABLE ONLY public.studies
    ADD CONSTRAINT uq_studies_name UNIQUE (name);
CREATE INDEX ix_artifacts_job_id ON public.artifacts USING btree (job_id);
CREATE INDEX ix_bottom_activation_rows_image_id ON public.bottom_activation_rows USING btree (image_id);
CREATE INDEX ix_class_activation_rows_image_id ON public.class_activation_rows USING btree (image_id);
CREATE INDEX ix_correspondence_image_rows_image_id ON public.correspondence_image_rows USING btree (image_id);
CREATE INDEX ix_correspondence_pair_rows_image_id ON public.correspondence_pair_rows USING btree (image_id);
CREATE INDEX ix_correspondence_pair_rows_other_image_id ON public.correspondence_pair_rows USING btree (other_image_id);
CREATE INDEX ix_dataset_problems_dataset_id ON public.dataset_problems USING btree (dataset_id);
CREATE INDEX ix_events_job_id ON public.events USING btree (job_id);
CREATE INDEX ix_events_shard_id ON public.events USING btree (shard_id);
CREATE INDEX ix_feature_image_rows_image_id ON public.feature_image_rows USING btree (image_id);
CREATE INDEX ix_image_splits_dataset_id_split_image_id ON public.image_splits USING btree (dataset_id, split, image_id);
CREATE INDEX ix_image_splits_image_id ON public.image_splits USING btree (image_id);
CREATE INDEX ix_invariance_distance_rows_image_id ON public.invariance_distance_rows USING btree (image_id);
CREATE INDEX ix_invariance_image_rows_image_id ON public.invariance_image_rows USING btree (image_id);
CREATE INDEX ix_invariance_prediction_rows_image_id ON public.invariance_prediction_rows USING btree (image_id);
CREATE INDEX ix_jobs_dataset_id ON public.jobs USING btree (dataset_id);
CREATE INDEX ix_jobs_state ON public.jobs USING btree (state);
CREATE INDEX ix_left_out_images_image_id ON public.left_out_images USING btree (image_id);
CREATE INDEX ix_occlusion_map_rows_image_id ON public.occlusion_map_rows USING btree (image_id);
CREATE INDEX ix_occlusion_position_rows_image_id ON public.occlusion_position_rows USING btree (image_id);
CREATE UNIQUE INDEX ix_registered_networks_current ON public.registered_networks USING btree (name) WHERE (replaced_at IS NULL);
CREATE INDEX ix_shards_job_id_state_queue_paused_until ON public.shards USING btree (job_id, state, queue, paused_until);
CREATE INDEX ix_shards_job_id_state_stage ON public.shards USING btree (job_id, state, stage);
CREATE INDEX ix_shards_state_sent_at_id ON public.shards USING btree (state, sent_at, id);
CREATE INDEX ix_study_jobs_job_id ON public.study_jobs USING btree (job_id);
CREATE INDEX ix_top_activation_rows_image_id ON public.top_activation_rows USING btree (image_id);
CREATE INDEX ix_training_runs_dataset_id ON public.training_runs USING btree (dataset_id);
CREATE INDEX ix_unit_evolution_rows_image_id ON public.unit_evolution_rows USING btree (image_id);
ALTER TABLE ONLY public.answers
    ADD CONSTRAINT fk_answers_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT fk_artifacts_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.bottom_activation_rows
    ADD CONSTRAINT fk_bottom_activation_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.bottom_activation_rows
    ADD CONSTRAINT fk_bottom_activation_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.checkpoints
    ADD CONSTRAINT fk_checkpoints_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.class_activation_rows
    ADD CONSTRAINT fk_class_activation_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.class_activation_rows
    ADD CONSTRAINT fk_class_activation_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.correspondence_image_rows
    ADD CONSTRAINT fk_correspondence_image_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.correspondence_image_rows
    ADD CONSTRAINT fk_correspondence_image_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.correspondence_jobs
    ADD CONSTRAINT fk_correspondence_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.correspondence_pair_rows
    ADD CONSTRAINT fk_correspondence_pair_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.correspondence_pair_rows
    ADD CONSTRAINT fk_correspondence_pair_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.correspondence_pair_rows
    ADD CONSTRAINT fk_correspondence_pair_rows_other_image_id FOREIGN KEY (other_image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.correspondence_rows
    ADD CONSTRAINT fk_correspondence_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.dataset_problems
    ADD CONSTRAINT fk_dataset_problems_dataset_id FOREIGN KEY (dataset_id) REFERENCES public.datasets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.epochs
    ADD CONSTRAINT fk_epochs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_shard_id FOREIGN KEY (shard_id) REFERENCES public.shards(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.evolution_jobs
    ADD CONSTRAINT fk_evolution_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.evolution_layers
    ADD CONSTRAINT fk_evolution_layers_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.evolution_units
    ADD CONSTRAINT fk_evolution_units_layer_id FOREIGN KEY (layer_id) REFERENCES public.evolution_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.feature_image_rows
    ADD CONSTRAINT fk_feature_image_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.feature_image_rows
    ADD CONSTRAINT fk_feature_image_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.feature_map_rows
    ADD CONSTRAINT fk_feature_map_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.features_jobs
    ADD CONSTRAINT fk_features_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.filter_layer_rows
    ADD CONSTRAINT fk_filter_layer_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.filter_rows
    ADD CONSTRAINT fk_filter_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.filters_jobs
    ADD CONSTRAINT fk_filters_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.image_splits
    ADD CONSTRAINT fk_image_splits_dataset_id FOREIGN KEY (dataset_id) REFERENCES public.datasets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.image_splits
    ADD CONSTRAINT fk_image_splits_image_id FOREIGN KEY (image_id) REFERENCES public.images(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.images
    ADD CONSTRAINT fk_images_dataset_id FOREIGN KEY (dataset_id) REFERENCES public.datasets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.invariance_distance_rows
    ADD CONSTRAINT fk_invariance_distance_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.invariance_distance_rows
    ADD CONSTRAINT fk_invariance_distance_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.invariance_image_rows
    ADD CONSTRAINT fk_invariance_image_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.invariance_image_rows
    ADD CONSTRAINT fk_invariance_image_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.invariance_jobs
    ADD CONSTRAINT fk_invariance_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.invariance_prediction_rows
    ADD CONSTRAINT fk_invariance_prediction_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.invariance_prediction_rows
    ADD CONSTRAINT fk_invariance_prediction_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT fk_jobs_dataset_id FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);
ALTER TABLE ONLY public.left_out_images
    ADD CONSTRAINT fk_left_out_images_image_id FOREIGN KEY (image_id) REFERENCES public.images(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.left_out_images
    ADD CONSTRAINT fk_left_out_images_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.occlusion_jobs
    ADD CONSTRAINT fk_occlusion_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.occlusion_map_rows
    ADD CONSTRAINT fk_occlusion_map_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.occlusion_map_rows
    ADD CONSTRAINT fk_occlusion_map_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.occlusion_position_rows
    ADD CONSTRAINT fk_occlusion_position_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.occlusion_position_rows
    ADD CONSTRAINT fk_occlusion_position_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.probe_accuracy_rows
    ADD CONSTRAINT fk_probe_accuracy_rows_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.probe_jobs
    ADD CONSTRAINT fk_probe_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.searched_layers
    ADD CONSTRAINT fk_searched_layers_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.searched_units
    ADD CONSTRAINT fk_searched_units_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.settled_unit_rows
    ADD CONSTRAINT fk_settled_unit_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.evolution_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.shards
    ADD CONSTRAINT fk_shards_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.study_jobs
    ADD CONSTRAINT fk_study_jobs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.study_jobs
    ADD CONSTRAINT fk_study_jobs_study_id FOREIGN KEY (study_id) REFERENCES public.studies(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.top_activation_rows
    ADD CONSTRAINT fk_top_activation_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.top_activation_rows
    ADD CONSTRAINT fk_top_activation_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.training_runs
    ADD CONSTRAINT fk_training_runs_dataset_id FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);
ALTER TABLE ONLY public.training_runs
    ADD CONSTRAINT fk_training_runs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.training_runs
    ADD CONSTRAINT fk_training_runs_network_key FOREIGN KEY (network_key) REFERENCES public.networks(key);
ALTER TABLE ONLY public.unit_evolution_rows
    ADD CONSTRAINT fk_unit_evolution_rows_image_id FOREIGN KEY (image_id) REFERENCES public.images(id);
ALTER TABLE ONLY public.unit_evolution_rows
    ADD CONSTRAINT fk_unit_evolution_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.evolution_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.unit_label_rows
    ADD CONSTRAINT fk_unit_label_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.unit_selectivity_rows
    ADD CONSTRAINT fk_unit_selectivity_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.unit_statistics_rows
    ADD CONSTRAINT fk_unit_statistics_rows_layer_id FOREIGN KEY (layer_id) REFERENCES public.searched_layers(id) ON DELETE CASCADE;
