"""Pure decisions of the router: values in, values out; no clock, no network, no database."""
