//! Sampling: samplers, schedules, parameterisation, guidance.
