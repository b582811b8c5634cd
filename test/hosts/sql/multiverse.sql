-- expect: 1:somebody,2:2
CREATE TABLE Post(id INTEGER PRIMARY KEY, author, anon);
INSERT INTO Post VALUES (1, 1, 1), (2, 2, 0), (3, 3, NULL);
INSERT INTO multiverse_rules(tbl, action, rule) VALUES ('Post', 'allow', 'anon IS NOT NULL');
INSERT INTO multiverse_rules(tbl, action, rule) VALUES ('Post', 'insert', 'id > :uid');
INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES ('Post', 'rewrite', 'anon AND author <> :uid', 'author', '''somebody''');
SELECT multiverse_enter('{"uid":2}', 'a token of the host');
INSERT INTO Post SELECT 4, group_concat(id || ':' || author), 0 FROM Post;
SELECT multiverse_leave('a token of the host');
SELECT author FROM Post WHERE id = 4;
