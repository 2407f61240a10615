use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

/// Multi-head attention of images, whose pixels are tokens.
pub(super) struct Attention {
    pub(super) heads: usize,
    /// Factor of the dot products.
    pub(super) scale: f64,
}

impl Attention {
    /// Attends with queries to keys and values, each `[n, channels, height, width]`.
    pub(super) fn forward(&self, [queries, keys, values]: [&Tensor; 3]) -> Result<Tensor> {
        let (n, channels, height, width) = queries.dims4()?;
        let divided = (n, self.heads, channels / self.heads, height * width);
        let [q, k, v] = [queries, keys, values].map(|x| x.contiguous()?.reshape(divided));
        let products = q?.transpose(2, 3)?.contiguous()?.matmul(&k?)?;
        let probabilities = softmax(&(products * self.scale)?, D::Minus1)?;
        v?.matmul(&probabilities.transpose(2, 3)?.contiguous()?)?.reshape(queries.shape())
    }
}

/// Puts tokens of zeros in front of the pixels of `[n, channels, height, width]`, and adds a constant to each value.
pub(super) fn token_embedding(x: &Tensor, class_tokens: usize, bias: &Tensor) -> Result<Tensor> {
    let (n, channels, height, width) = x.dims4()?;
    let tokens = x.reshape((n, channels, 1, height * width))?.pad_with_zeros(3, class_tokens, 0)?;
    tokens.broadcast_add(&bias.reshape((1, channels, 1, class_tokens + height * width))?)
}

/// Takes one token of `[n, channels, height, width]`, by its index row by row.
pub(super) fn select_token(x: &Tensor, index: usize) -> Result<Tensor> {
    x.flatten_from(2)?.narrow(2, index, 1)?.squeeze(2)
}
