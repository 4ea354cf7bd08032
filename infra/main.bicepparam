// An example: copy it, fill it in, and keep it with your policy file. Every other parameter has a default.
using 'main.bicep'

// azd sets these two; with `az deployment` give them as environment variables or write them here.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'prod')
param location = readEnvironmentVariable('AZURE_LOCATION', 'uksouth')

param gallery = {
  subscriptionId: readEnvironmentVariable('GOLDROLL_GALLERY_SUBSCRIPTION', '00000000-0000-0000-0000-000000000000')
  resourceGroup: readEnvironmentVariable('GOLDROLL_GALLERY_GROUP', 'images')
  name: readEnvironmentVariable('GOLDROLL_GALLERY', 'gal_prod')
}

param existingSystemTopic = readEnvironmentVariable('GOLDROLL_EXISTING_SYSTEM_TOPIC', '')
param authClientId = readEnvironmentVariable('GOLDROLL_AUTH_CLIENT_ID', '')

// The topic and the webhook of notifications: see docs/notifications.md.
param notificationTopic = bool(readEnvironmentVariable('GOLDROLL_NOTIFICATION_TOPIC', 'false'))

param alertEmails = []

// The ids that infra/roles/roles.bicep puts out, at the places that docs/deploying.md names.
param roleAssignments = []
param subscriptionRoleAssignments = []
