-- Runs once, as the superuser, when the database is created.
\set owner_password `cat /run/secrets/database_password`
\set query_password `cat /run/secrets/query_password`

-- The owner of the tables. Not a superuser, which could read files of the server with a SELECT.
CREATE ROLE unitscope LOGIN PASSWORD :'owner_password';
CREATE DATABASE unitscope OWNER unitscope;
REVOKE CONNECT ON DATABASE unitscope FROM PUBLIC;

-- The role of `analyze query`, which can only read. This file is what `analyze db query-role` prints.
\connect unitscope
\i /etc/postgresql/query_role.sql
ALTER ROLE unitscope_query PASSWORD :'query_password';
