-- Creates the role unitscope_query, with which `analyze query` can read the tables and views of a database and do
-- nothing else. Run it as a superuser, in the database of unitscope. It can be run again, at any time.
--
-- Functions with side effects (they end connections, take locks, change settings, write to the log of transactions)
-- can be called by everybody in a new database. They are taken from PUBLIC in this database, and given to the owner
-- of its tables and to pg_monitor. The superuser keeps them in any case.

BEGIN;
SET LOCAL search_path = pg_catalog;

DO $role$
DECLARE
    owner name := coalesce(
        (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('public.alembic_version')),
        (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database())
    );
    acting regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'unitscope_query') THEN
        CREATE ROLE unitscope_query;
    END IF;
    ALTER ROLE unitscope_query LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10;
    ALTER ROLE unitscope_query SET default_transaction_read_only = on;
    ALTER ROLE unitscope_query SET statement_timeout = '60s';
    ALTER ROLE unitscope_query SET lock_timeout = '10s';
    ALTER ROLE unitscope_query SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE unitscope_query SET temp_file_limit = '1GB';

    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO %I', current_database(), owner);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO unitscope_query', current_database());
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %I', owner);
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO unitscope_query;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO unitscope_query;
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT ON TABLES TO unitscope_query', owner);

    FOR acting IN
        SELECT oid FROM pg_proc WHERE has_function_privilege('public', oid, 'EXECUTE') AND (
            -- The same condition as in producer/results/functions.py.
            prokind IN ('f', 'p') AND provolatile = 'v'
            AND NOT ARRAY['internal', 'trigger', 'event_trigger']::regtype[]::oid[]
                && (proargtypes::oid[] || prorettype)
            AND proname !~ ('^((curr|last|next|set)val|array_(sample|shuffle)|clock_timestamp|current_query|random'
                || '|gen_random_uuid|random_normal|setseed|timeofday|txid_status|uuidv[47]|pg_\w+_size|pg_(available_wal'
                || '|blocking|collation|control|current_wal|database_collation|get|is|jit_available|last|lock_status'
                || '|notification_queue|partition|prepared_xact|safe_snapshot|sequence_last|stat_get|wal_summary'
                || '|xact)\w*)$')
        )
    LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', acting);
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I, pg_monitor', acting, owner);
    END LOOP;
END
$role$;

COMMIT;
