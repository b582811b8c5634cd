-- expect: b,a,b
CREATE TABLE node(name TEXT PRIMARY KEY, cpu INTEGER);
CREATE TABLE pod(name TEXT PRIMARY KEY, cpu INTEGER, node TEXT);
INSERT INTO node VALUES ('a', 4), ('b', 5);
INSERT INTO pod VALUES ('p', 3, NULL), ('q', 4, NULL), ('r', 2, NULL);
CREATE VIEW capacity AS SELECT n.name, sum(p.cpu) <= n.cpu AS must
  FROM node n JOIN pod p ON p.node = n.name GROUP BY n.name;
CREATE VIRTUAL TABLE sched USING weave(DECIDE pod.node IN (SELECT name FROM node), RULES (capacity));
SELECT weave_solve('sched');
SELECT weave_apply('sched');
SELECT group_concat(node) FROM (SELECT node FROM pod ORDER BY name);
