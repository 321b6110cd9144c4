//! Workflow files: one reader per form, all ending in the same [`Prompt`](crate::prompt::Prompt).
