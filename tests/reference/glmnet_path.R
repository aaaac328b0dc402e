# glmnet's elastic-net path at a threshold at which it has converged.
# Rscript glmnet_path.R X.csv y.txt lambdas.txt out.txt   (out: one column per lambda, intercept and weights by class)
args <- commandArgs(TRUE)
suppressPackageStartupMessages(library(glmnet))
X <- as.matrix(read.csv(args[1], header = FALSE))
y <- as.factor(scan(args[2], quiet = TRUE))
lambdas <- scan(args[3], quiet = TRUE)
fit <- glmnet(X, y, family = "multinomial", alpha = 0.99, lambda = lambdas, standardize = FALSE,
              thresh = 1e-14, maxit = 1e8, type.multinomial = "ungrouped")
stopifnot(length(fit$lambda) == length(lambdas))
rows <- NULL
for (c in seq_along(fit$beta)) rows <- rbind(rows, rbind(fit$a0[c, ], as.matrix(fit$beta[[c]])))
write.table(format(rows, digits = 17), args[4], quote = FALSE, row.names = FALSE, col.names = FALSE)
