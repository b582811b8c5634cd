-- expect: 1
SELECT count(*) > 0 FROM tenfold_status;
