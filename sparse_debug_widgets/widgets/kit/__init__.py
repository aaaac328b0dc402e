"""Every panel's kit: the base, requests, the wire, jobs, fields, snapshots, the joiner of the front end."""
