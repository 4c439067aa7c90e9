//! What is governed. A domain is its state table, its types, its service and its
//! SQL; it uses the kernel, and never another domain.

pub mod lineage;
pub mod transfer;
