"""Tags as they come: the streams of several taggers aligned, merged and analysed while they run."""
