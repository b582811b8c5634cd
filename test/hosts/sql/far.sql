-- expect: 3
CREATE TEMP TABLE forgotten AS SELECT far_forget('shm:tenfold-hosts');
CREATE VIRTUAL TABLE temp.host USING far_map(id INTEGER PRIMARY KEY, v TEXT, at='shm:tenfold-hosts', size='8M');
SELECT 3 + count(*) FROM host WHERE id = 1;
