-- expect: 3
CREATE VIRTUAL TABLE temp.host USING far_map(id INTEGER PRIMARY KEY, v TEXT, at='shm:tenfold-hosts', size='8M');
SELECT 3 + count(*) FROM host WHERE id = 1;
