//! What families of models let Qwen's language models read around a prompt, and which of its states they take.

use crate::text::language::LanguageUse;

/// Qwen's token that begins what somebody says.
const START: u32 = 151_644;
/// Its tokens of the word `user` and of a line's end.
const USER: [u32; 2] = [872, 198];

/// Qwen-Image-Edit's task.
macro_rules! edit_task {
    () => {
        "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, background), then explain \
         how the user's text instruction should alter or modify the image. Generate a new image that meets the user's requirements while \
         maintaining consistency with the original input where appropriate.<|im_end|>\n<|im_start|>user\n"
    };
}

/// Behind a prompt.
const ANSWER: &str = "<|im_end|>\n<|im_start|>assistant\n";

/// Z-Image: the prompt alone, all states.
pub const Z_IMAGE: LanguageUse = LanguageUse {
    key: "qwen3_4b",
    template: ("<|im_start|>user\n", ANSWER),
    template_of_pictures: None,
    whole: &[],
    layer: Some(-2),
    norms_hidden: false,
    dropped: |_, _| 0,
};

/// Qwen-Image: the prompt behind a task, whose states are dropped.
pub const QWEN_IMAGE: LanguageUse = LanguageUse {
    key: "qwen25_7b",
    template: (
        "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of \
         the objects and background:<|im_end|>\n<|im_start|>user\n",
        ANSWER,
    ),
    template_of_pictures: Some((concat!(edit_task!(), "<|vision_start|><|image_pad|><|vision_end|>"), ANSWER)),
    whole: &["<|im_start|>", "<|start_header_id|>"],
    layer: None,
    norms_hidden: false,
    dropped: task,
};

/// The same before a prompt that names its pictures itself, and what goes behind it.
pub const QWEN_IMAGE_EDIT: (&str, &str) = (edit_task!(), ANSWER);

/// How many states belong to the task: those before the second who speaks, and the beginning of the user's part.
fn task(tokens: &[u32], states: usize) -> usize {
    let begins = tokens.iter().enumerate().filter(|(_, token)| **token == START).map(|(at, _)| at);
    let Some(begin) = begins.take(2).last() else {
        // Of a text in which nobody speaks, the reference counts from behind.
        return if states > 2 && tokens.starts_with(&USER) { 2 } else { states.saturating_sub(1) };
    };
    let user = tokens.get(begin + 1..begin + 3) == Some(USER.as_slice());
    if user && states > begin + 3 { begin + 3 } else { begin }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By ComfyUI 0.8.0's rule, worked out by hand.
    #[test]
    fn the_task_is_what_stands_before_the_users_words() {
        let line = USER[1];
        let usual = [START, 8948, line, 7, 151_645, line, START, USER[0], line, 9, 9];
        assert_eq!(task(&usual, 11), 9);
        // A picture is more states than tokens.
        assert_eq!(task(&usual[..9], 12), 9);
        assert_eq!(task(&usual[..9], 9), 6);
        assert_eq!(task(&[START, USER[0], line, 9], 4), 3);
        assert_eq!(task(&[START, 5, line, 9, START, 6, 7, 8, START], 9), 4);
        assert_eq!(task(&[9, 9, 9], 3), 2);
        assert_eq!(task(&[USER[0], line, 9, 9], 4), 2);
    }
}
