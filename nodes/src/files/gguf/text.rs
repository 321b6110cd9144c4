//! Text encoders as llama.cpp names their tensors, under the names that ComfyUI's networks have.

use std::path::Path;

use anyhow::{Result, bail};

use super::super::names::Names;
use super::super::weights::Weights;

/// What each part of a name is replaced by, one after the other.
type Parts = &'static [(&'static str, &'static str)];

const T5: Parts = &[
    ("enc.", "encoder."),
    (".blk.", ".block."),
    ("token_embd", "shared"),
    ("output_norm", "final_layer_norm"),
    ("attn_q", "layer.0.SelfAttention.q"),
    ("attn_k", "layer.0.SelfAttention.k"),
    ("attn_v", "layer.0.SelfAttention.v"),
    ("attn_o", "layer.0.SelfAttention.o"),
    ("attn_norm", "layer.0.layer_norm"),
    ("attn_rel_b", "layer.0.SelfAttention.relative_attention_bias"),
    ("ffn_up", "layer.1.DenseReluDense.wi_1"),
    ("ffn_down", "layer.1.DenseReluDense.wo"),
    ("ffn_gate", "layer.1.DenseReluDense.wi_0"),
    ("ffn_norm", "layer.1.layer_norm"),
];

const LANGUAGE_MODEL: Parts = &[
    ("blk.", "model.layers."),
    ("attn_norm", "input_layernorm"),
    ("attn_q_norm.", "self_attn.q_norm."),
    ("attn_k_norm.", "self_attn.k_norm."),
    ("attn_v_norm.", "self_attn.v_norm."),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output.weight", "lm_head.weight"),
];

/// The rows of one head of queries or keys.
const HEAD: i64 = 128;

/// Opens a text encoder's file, a GGUF file under ComfyUI's names.
///
/// # Errors
/// As [`Weights::open`]; a GGUF file of another architecture than T5, Llama, Qwen 2-VL and Qwen 3.
pub fn text_encoder(path: &Path) -> Result<Weights> {
    let weights = Weights::open(path)?;
    let Some(header) = weights.gguf() else { return Ok(weights) };
    let architecture = header.architecture();
    let parts = match architecture {
        Some("t5" | "t5encoder") => T5,
        Some("llama" | "qwen2vl" | "qwen3") => LANGUAGE_MODEL,
        other => bail!(
            "{} is of the architecture {}, which is no text encoder that can be read; use one of T5, Llama 3, Qwen 2.5-VL or Qwen 3",
            path.display(),
            other.unwrap_or("(none is told)")
        ),
    };
    // llama.cpp turns pairs of neighbouring numbers, the network halves of heads: files of Llama have the rows in the order for it.
    let paired = architecture == Some("llama");
    let mut names = Names::default();
    for name in weights.names() {
        let new = parts.iter().fold(name.clone(), |name, (part, by)| name.replace(part, by));
        if paired && [".q_proj.weight", ".k_proj.weight"].iter().any(|end| new.ends_with(end)) {
            names.unpair(new, name, HEAD);
        } else {
            names.add(new, name);
        }
    }
    Ok(weights.named(names))
}
