-- expect: 1
SELECT viz_bar(column1, column2, 20) LIKE 'apples%12%pears%' FROM (VALUES ('apples', 12), ('pears', 3));
