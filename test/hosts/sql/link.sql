-- expect: 3
CREATE VIRTUAL TABLE temp.host USING link(id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO host VALUES (1, 'one'), (2, 'two');
SELECT 1 + count(*) FROM host WHERE id IN (1, 2, 3);
