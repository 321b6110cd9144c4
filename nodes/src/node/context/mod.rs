mod context_windows_manual;
