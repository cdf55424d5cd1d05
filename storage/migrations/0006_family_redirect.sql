-- The redirect URI that a login came through, as sent; '' = one before this column was there: the grant's last one counts.
ALTER TABLE families ADD COLUMN redirect_uri TEXT NOT NULL DEFAULT '';
