//! Picture files: reading them as LoadImage does, writing them as SaveImage does.
