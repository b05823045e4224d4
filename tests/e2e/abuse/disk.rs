//! Full disks, large recordings, restores, file modes.
