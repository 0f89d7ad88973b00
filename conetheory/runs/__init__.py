"""Methods x images: the study, the files it leaves and takes up again, series of methods."""
