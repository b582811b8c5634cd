-- expect: 3
CREATE VIRTUAL TABLE temp.linked USING link(id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO linked VALUES (1, 'one'), (2, 'two');
SELECT 1 + count(*) FROM linked WHERE id IN (1, 2, 3);
