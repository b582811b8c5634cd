-- expect: 0
SELECT omni_use() IS NOT NULL;
