"""Files and habits as people have them: each module generates its inputs with ``tests.wild.generators``."""
