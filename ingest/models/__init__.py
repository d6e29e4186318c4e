"""Any MuJoCo model: where it is loaded from, and which of its features the engine covers."""
