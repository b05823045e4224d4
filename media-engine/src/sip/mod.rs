//! Sans-IO SIP core (RFC 3261).
