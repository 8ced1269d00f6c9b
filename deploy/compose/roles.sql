-- Runs once, as the superuser, when the database is created.
\set owner_password `cat /run/secrets/database_password`
\set query_password `cat /run/secrets/query_password`

-- The owner of the tables. Not a superuser, which could read files of the server with a SELECT.
CREATE ROLE unitscope LOGIN PASSWORD :'owner_password';
CREATE DATABASE unitscope OWNER unitscope;
REVOKE CONNECT, TEMPORARY ON DATABASE unitscope FROM PUBLIC;

-- The role of `analyze query`. It may do nothing until it is granted the public views, after `analyze db upgrade`.
CREATE ROLE unitscope_query LOGIN CONNECTION LIMIT 20 PASSWORD :'query_password';
GRANT CONNECT ON DATABASE unitscope TO unitscope_query;
-- Only a superuser may set these; a query that sorts more than this on the disk ends with an error.
ALTER ROLE unitscope_query SET temp_file_limit = '1GB';
ALTER ROLE unitscope_query SET default_transaction_read_only = on;
