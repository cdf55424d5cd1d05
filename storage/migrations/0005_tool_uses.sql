-- How often a tool was called: the allowed calls of one second, and all until then. The calls of a time are the difference of two totals,
-- so asking costs the same however many there were. Rows never go back in time, and only policies that call mcp.usage make any.
CREATE TABLE tool_uses (
  holder TEXT NOT NULL,
  tool   TEXT NOT NULL,
  at     INTEGER NOT NULL,
  calls  INTEGER NOT NULL,
  total  INTEGER NOT NULL,
  PRIMARY KEY (holder, tool, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX tool_uses_at ON tool_uses (at);
