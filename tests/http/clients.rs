//! Clients that others wrote: curl and Python's http.client.
