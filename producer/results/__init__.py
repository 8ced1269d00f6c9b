"""Reading jobs: progress, result tables, pages, and SQL queries."""
