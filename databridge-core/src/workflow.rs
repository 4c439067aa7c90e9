//! State machines as const tables.
