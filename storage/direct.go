package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// direct runs statements on the driver of one connection, without the layers of database/sql, which cost as much as an insert does.
type direct struct {
	conn  any // of the driver, to which the statements belong
	stmts map[string]driver.Stmt
	args  []driver.NamedValue // of one statement after the other
}

func newDirect() *direct { return &direct{stmts: map[string]driver.Stmt{}} }

// exec runs one statement and tells how many rows it changed.
func (d *direct) exec(conn *sql.Conn, query string, args []any) (changed int64, err error) {
	err = conn.Raw(func(c any) error {
		stmt, err := d.prepared(c, query)
		if err != nil {
			return err
		}
		if err := d.name(args); err != nil {
			return err
		}
		result, err := stmt.(driver.StmtExecContext).ExecContext(context.Background(), d.args)
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	return changed, err
}

func (d *direct) prepared(conn any, query string) (driver.Stmt, error) {
	if stmt := d.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := conn.(driver.ConnPrepareContext).PrepareContext(context.Background(), query)
	if err == nil {
		d.conn, d.stmts[query] = conn, stmt
	}
	return stmt, err
}

// name makes args of what a driver takes.
func (d *direct) name(args []any) error {
	d.args = d.args[:0]
	for i, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return err
		}
		d.args = append(d.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return nil
}

// close ends the statements, on the connection that the pool still has: SQLite keeps a connection, and its lock, for as long as
// there are statements of it. The pool must have no other one.
func (d *direct) close(db *sql.DB) {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return
	}
	_ = conn.Raw(func(c any) error {
		for _, stmt := range d.stmts {
			if c == d.conn { // else it was closed before
				_ = stmt.Close()
			}
		}
		return nil
	})
	_ = conn.Close()
}
