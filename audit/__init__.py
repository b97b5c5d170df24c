"""Does a synthetic set copy images that its generator was trained on?"""
