# Mean accuracy drop of every cell of a run: Rscript trials.R results/reproduce/trials.parquet
trials <- as.data.frame(nanoparquet::read_parquet(commandArgs(trailingOnly = TRUE)[1]))
trials$drop <- 100 * (trials$clean_correct - trials$correct) / trials$images
if ("changed_probability" %in% names(trials)) { # cells with conditional sampling
  p <- trials$changed_probability
  trials$drop <- trials$drop * ifelse(is.na(p), 1, p)
}
cells <- aggregate(drop ~ model + fault_model + protection + rate, trials, function(d) c(mean(d), length(d)))
cells <- setNames(do.call(data.frame, cells), c("model", "fault_model", "protection", "rate", "mean", "count"))
write.csv(cells, row.names = FALSE)
