-- How a generation came into force: '' = from the policy folder of the configuration. The newest row says what a start puts in force.
ALTER TABLE policy_generations ADD COLUMN origin TEXT NOT NULL DEFAULT '';
