"""How an attempt ends: looking whether it is right, handing over what was made, and noticing that it gets nowhere."""
