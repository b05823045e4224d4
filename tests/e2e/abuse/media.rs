//! Media from strangers, duplicated packets, tasks that end.
