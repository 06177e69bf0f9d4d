"""Portrait and speech to video: pipelines, the loop over chunks, devices."""
