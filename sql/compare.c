/*
** What comparison operators mean, given how two values are ordered.
*/
#include "sql/sql.h"

SqlOp sql_op_mirrored(SqlOp op) {
  switch (op) {
  case SQL_OP_LT:
    return SQL_OP_GT;
  case SQL_OP_LE:
    return SQL_OP_GE;
  case SQL_OP_GT:
    return SQL_OP_LT;
  case SQL_OP_GE:
    return SQL_OP_LE;
  default:
    return op;
  }
}

bool sql_op_holds(SqlOp op, int order) {
  switch (op) {
  case SQL_OP_EQ:
  case SQL_OP_IS:
    return order == 0;
  case SQL_OP_NE:
  case SQL_OP_IS_NOT:
    return order != 0;
  case SQL_OP_LT:
    return order < 0;
  case SQL_OP_LE:
    return order <= 0;
  case SQL_OP_GT:
    return order > 0;
  default:
    return order >= 0;
  }
}
