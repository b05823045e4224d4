//! Tenants, passwords, rights, first sign-up.
