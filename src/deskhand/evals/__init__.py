"""``deskhand eval``: how well a model does real office and file work, through the whole product, looked up afterwards."""
