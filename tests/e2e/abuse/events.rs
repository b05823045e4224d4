//! Events that the store refuses, and a database that is away.
